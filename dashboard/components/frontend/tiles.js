// A few facts side by side, whose times tick.

const tilings = new WeakMap()

function tile({ label, kind, value, sub, href, tone }, fire) {
  const made = make("div", `tile ${tone ? `tone-${tone}` : ""}`)
  const shown = make("dd")
  shown.append(...(isBlank(value) ? [make("span", "none", "–")] : CELLS[kind](value)))
  if (sub) shown.append(make("span", "sub", sub))
  shown.title = [shown.firstChild.title || shown.firstChild.textContent, sub].filter(Boolean).join("\n")
  const name = make("dt", "", href ? undefined : label)
  if (href) name.append(opener(label, href, fire))
  made.append(name, shown)
  return made
}

// The link's area is the whole tile.
function opener(label, href, fire) {
  const link = make("a", "opens", label)
  link.href = href
  link.onclick = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return
    event.preventDefault()
    fire("open", href)
  }
  return link
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".tiles")
  root.replaceChildren(...data.tiles.map((each) => tile(each, setTriggerValue)))
  if (!tilings.has(parentElement)) {
    tilings.set(parentElement, setInterval(() => document.hidden || tickAll(root), TICK_MS))
  }
  return () => {
    clearInterval(tilings.get(parentElement))
    tilings.delete(parentElement)
  }
}
