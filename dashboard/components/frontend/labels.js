// A line of badges, tags and words, whose times tick.

const lines = new WeakMap()

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".labels")
  // A link leads where it says: the row that its cell would be in is the address.
  const cells = ({ kind, value }) => CELLS[kind](value, { id: value?.href }, { fire: setTriggerValue })
  root.replaceChildren(...data.items.flatMap(cells))
  if (!lines.has(parentElement)) {
    lines.set(parentElement, setInterval(() => document.hidden || tickAll(root), TICK_MS))
  }
  return () => {
    clearInterval(lines.get(parentElement))
    lines.delete(parentElement)
  }
}
