// The stack's clock, as last sent, and times as text. Moments are epoch milliseconds, of the stack's clock.

let sent = null;

export const clockIsKnown = () => sent !== null;
export const sentClock = () => sent;
export function takeClock(clock) {
  sent = { ...clock, ms: Date.parse(clock.now), heardAt: performance.now() };
}

/** Now. Between two sendings the clock runs on by itself, unless it is being moved. */
export function now() {
  if (!sent) return 0;
  return sent.moving ? sent.ms : sent.ms + (performance.now() - sent.heardAt) * sent.speed;
}

export const short = (id) => id.slice(0, 8);
export const timeOf = (iso) => iso.slice(11, 19);

/** The time, with the days between when it is of another day: "12:30:00 (+1 d)". */
export function whenOf(iso) {
  const days = Math.floor(Date.parse(iso) / 86400000) - Math.floor(now() / 86400000);
  return days === 0 || !sent ? timeOf(iso) : `${timeOf(iso)} (${days > 0 ? "+" : "−"}${Math.abs(days)} d)`;
}

/** How long, to the second: "4:05", "2:30:00". */
export function lasting(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const two = (n) => String(n).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** About how long: "22 min", "3 h 20 min", "2 d 5 h". */
export function roughly(ms) {
  const total = Math.max(0, Math.round(ms / 60000));
  if (total < 1) return `${Math.max(0, Math.ceil(ms / 1000))} s`;
  if (total < 60) return `${total} min`;
  const hours = Math.floor(total / 60);
  return hours < 48 ? `${hours} h ${total % 60} min` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
