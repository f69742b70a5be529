// What is shown was read before the last change, because reading it is dear: it is asked for again when that is fair.

const LEAST_MS = 300
const timers = new WeakMap()

export default function ({ parentElement, data, setTriggerValue }) {
  clearTimeout(timers.get(parentElement))
  if (data.ms > 0) {
    timers.set(parentElement, setTimeout(() => setTriggerValue("again", Date.now()), Math.max(LEAST_MS, data.ms)))
  }
  return () => clearTimeout(timers.get(parentElement))
}
