// A line of badges, tags and words, whose times tick.

const lines = new WeakMap()

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".labels")
  root.replaceChildren(...data.items.flatMap(({ kind, value }) => CELLS[kind](value)))
  if (!lines.has(parentElement)) {
    lines.set(parentElement, setInterval(() => document.hidden || tickAll(root), TICK_MS))
  }
  return () => {
    clearInterval(lines.get(parentElement))
    lines.delete(parentElement)
  }
}
