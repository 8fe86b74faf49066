// Makes and changes elements. What comes from a session becomes text or an attribute, never markup.

export const byId = (id) => document.getElementById(id);

/** `make("p", {className: "quiet"}, "text", other)`: properties by their DOM names, children as text or elements. */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** The pairs of a `dl`: [name, value, title]. */
export function showFacts(list, pairs) {
  list.replaceChildren(...pairs.map(([name, value, title = ""]) =>
    make("div", {}, make("dt", {}, name), make("dd", { title }, value))));
}

/** Let the buttons of a tab list show one panel each: with a click, or with the arrow keys. */
export function makeTabs(list, show) {
  const tabs = Array.from(list.querySelectorAll("[role=tab]"));
  const choose = (chosen) => {
    for (const tab of tabs) {
      tab.setAttribute("aria-selected", String(tab === chosen));
      tab.tabIndex = tab === chosen ? 0 : -1;
    }
    show(chosen.id.replace("tab-", ""));
  };
  list.addEventListener("click", ({ target }) => { if (tabs.includes(target)) choose(target); });
  list.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    event.stopPropagation();
    const next = tabs[(tabs.indexOf(event.target) + step + tabs.length) % tabs.length];
    next.focus();
    choose(next);
  });
  return (name) => choose(byId(`tab-${name}`));
}
