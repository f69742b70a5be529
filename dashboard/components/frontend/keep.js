// What is typed in a form is kept in this tab of the browser until the form is left: when the server starts again, or
// the page is loaded again, it is brought back.

const PREFIX = "duetime draft "
const TEXTS = '[data-testid="stTextInput"] input, [data-testid="stTextArea"] textarea'
const keepers = new WeakMap()

function nameOf(element) {
  return element.closest('[class*="st-key-edit_"]')?.className.match(/st-key-edit_(\w+)/)?.[1]
}

class Keeper {
  constructor() {
    this.onInput = (event) => this.place && nameOf(event.target) && this.write()
    document.addEventListener("input", this.onInput, true)
  }

  // The page knows what is typed before the server does.
  write() {
    for (const element of document.querySelectorAll(TEXTS)) {
      const name = nameOf(element)
      if (typeof this.fields[name] === "string") this.fields[name] = element.value
    }
    try {
      sessionStorage.setItem(this.place, JSON.stringify({ version: this.version, fields: this.fields }))
    } catch {} // a full store keeps nobody from writing
  }

  follow({ source, version, fields, is_new: isNew, forget }, fire) {
    this.place = PREFIX + source
    this.version = version
    this.fields = { ...fields }
    if (forget) sessionStorage.removeItem(this.place)
    const kept = JSON.parse(sessionStorage.getItem(this.place) ?? "null")
    if (!isNew) this.write()
    else if (kept && JSON.stringify(kept.fields) !== JSON.stringify(fields)) fire("restore", kept)
  }

  close() {
    document.removeEventListener("input", this.onInput, true)
    sessionStorage.removeItem(this.place)
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  if (!keepers.has(parentElement)) keepers.set(parentElement, new Keeper())
  const keeper = keepers.get(parentElement)
  keeper.follow(data, setTriggerValue)
  return () => {
    keeper.close()
    keepers.delete(parentElement)
  }
}
