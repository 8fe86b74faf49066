// Which session is looked at: the current one, and the one under the pointer. Rows and time line both mark it.

let current = null;
let pointed = null;
const listeners = [];

export const currentId = () => current;
export const markedId = () => pointed || current;
export const onMark = (listener) => listeners.push(listener);

export function setCurrent(id) {
  current = id;
  pointed = null;
  for (const listener of listeners) listener();
}

export function point(id) {
  if (pointed === id) return;
  pointed = id;
  for (const listener of listeners) listener();
}

/** Let a list mark the session of the element under the pointer. */
export function pointsFrom(list, selector) {
  list.addEventListener("pointerover", ({ target }) => point(target.closest(selector)?.dataset.session || null));
  list.addEventListener("pointerleave", () => point(null));
}
