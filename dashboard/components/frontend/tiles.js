// A few facts side by side, whose times tick.

const tilings = new WeakMap()

function tile({ label, kind, value, sub }) {
  const made = make("div", "tile")
  const shown = make("dd")
  shown.append(...(isBlank(value) ? [make("span", "none", "–")] : CELLS[kind](value)))
  if (sub) shown.append(make("span", "sub", sub))
  shown.title = [shown.firstChild.title || shown.firstChild.textContent, sub].filter(Boolean).join("\n")
  made.append(make("dt", "", label), shown)
  return made
}

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".tiles")
  root.replaceChildren(...data.tiles.map(tile))
  if (!tilings.has(parentElement)) {
    tilings.set(parentElement, setInterval(() => document.hidden || tickAll(root), TICK_MS))
  }
  return () => {
    clearInterval(tilings.get(parentElement))
    tilings.delete(parentElement)
  }
}
