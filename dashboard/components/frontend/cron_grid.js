// Minutes, hours and days to choose from. A field with nothing chosen is every one of them.

const TOGETHER_MS = 150

function field({ name, label, values, chosen, wide }, fire) {
  const on = new Set(chosen)
  const box = make("div", "values")
  box.setAttribute("role", "group")
  box.setAttribute("aria-label", label)
  if (wide) box.style.setProperty("--cell", "44px")
  const every = make("button", "every", `Every one`)
  every.dataset.focus = `${name} every`
  const buttons = values.map(([value, word]) => {
    const made = make("button", "", word)
    made.dataset.focus = `${name} ${value}`
    made.setAttribute("aria-label", `${label} ${word}`)
    made.onclick = () => {
      on.has(value) ? on.delete(value) : on.add(value)
      show()
      fire(name, [...on])
    }
    return [value, made]
  })
  every.onclick = () => {
    on.clear()
    show()
    fire(name, [])
  }
  function show() {
    every.setAttribute("aria-pressed", on.size === 0)
    for (const [value, made] of buttons) made.setAttribute("aria-pressed", on.has(value))
  }
  show()
  box.append(every, ...buttons.map(([, made]) => made))
  return [make("span", "name", label), box]
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".cron-grid")
  const focus = parentElement.activeElement?.dataset?.focus ?? root.getRootNode().activeElement?.dataset?.focus
  let waiting
  // Several clicks in a row are one change.
  const fire = (name, values) => {
    clearTimeout(waiting)
    waiting = setTimeout(() => setTriggerValue("change", { field: name, values, at: Date.now() }), TOGETHER_MS)
  }
  root.replaceChildren(...data.fields.flatMap((each) => field(each, fire)))
  if (focus) root.querySelector(`[data-focus="${CSS.escape(focus)}"]`)?.focus()
}
