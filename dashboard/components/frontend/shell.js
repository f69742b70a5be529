// Going to a page with parameters makes Streamlit push two entries: the old path with the new parameters, then the new
// path. Back would land on the first, where the old page has lost its filters. The pair becomes one entry here.

const TOGETHER_MS = 400

if (!window.duetimeHistory) {
  window.duetimeHistory = true
  const push = history.pushState.bind(history)
  let last = { at: -Infinity }
  history.pushState = (state, title, address) => {
    const to = new URL(address, location.href)
    const from = { path: location.pathname, search: location.search }
    const second =
      performance.now() - last.at < TOGETHER_MS &&
      last.path === from.path &&
      to.pathname !== from.path &&
      to.search === from.search
    last = second ? { at: -Infinity } : { at: performance.now(), path: to.pathname }
    return second ? history.replaceState(state, title, address) : push(state, title, address)
  }
}

// Streamlit draws another page when Back leads to one, and nothing when it leads to the same page with other parameters.

if (!window.duetimeBack) {
  window.duetimeBack = true
  let shown = location.pathname + location.search
  const note = () => (shown = location.pathname + location.search)
  for (const name of ["pushState", "replaceState"]) {
    const change = history[name].bind(history)
    history[name] = (...words) => {
      change(...words)
      note()
    }
  }
  addEventListener("popstate", () => {
    const before = shown.split("?")[0]
    note()
    if (location.pathname === before) location.reload()
  })
}

// Keys, where nobody types: / searches, n makes a task, j and k go through a list, ? says so.

const KEYS = { "/": "Search", n: "New task", "j / k": "The next, the last row", Enter: "Open the row", "?": "This list" }

function isTyping(event) {
  const [target] = event.composedPath()
  if (target.tagName === "INPUT") return !/^(radio|checkbox|button|submit)$/.test(target.type)
  return target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName)
}

function rowLinks() {
  const roots = [...document.querySelectorAll("*")].map((element) => element.shadowRoot).filter(Boolean)
  return roots.flatMap((root) => [...root.querySelectorAll('tbody a[data-focus^="open"]')])
}

function focused() {
  let active = document.activeElement
  while (active?.shadowRoot?.activeElement) active = active.shadowRoot.activeElement
  return active
}

function move(step) {
  const links = rowLinks()
  const at = links.indexOf(focused())
  links[at < 0 ? 0 : Math.min(links.length - 1, Math.max(0, at + step))]?.focus()
}

function search() {
  const field = document.querySelector('.stTextInput input[type="search"], [class*="st-key-q"] input')
  if (!field) return false
  field.focus()
  field.select()
  return true
}

function newTask() {
  const button = document.querySelector(".st-key-new_task button")
  if (button) button.click()
  else location.assign("/new")
}

function showKeys() {
  const open = document.querySelector(".duetime-keys")
  if (open) return open.close()
  const dialog = document.createElement("dialog")
  dialog.className = "duetime-keys"
  dialog.setAttribute("aria-label", "Keyboard shortcuts")
  const list = document.createElement("dl")
  for (const [key, what] of Object.entries(KEYS)) {
    const name = document.createElement("dt")
    const meaning = document.createElement("dd")
    name.textContent = key
    meaning.textContent = what
    list.append(name, meaning)
  }
  dialog.append(list)
  dialog.onclose = () => dialog.remove()
  dialog.onclick = () => dialog.close()
  document.body.append(dialog)
  dialog.showModal()
}

const ACTIONS = { n: newTask, j: () => move(1), k: () => move(-1), "?": showKeys }

if (!window.duetimeKeys) {
  window.duetimeKeys = true
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return
    if (document.querySelector('[role="dialog"]') && event.key !== "?") return
    if (event.key === "/" ? search() : ACTIONS[event.key]) {
      event.preventDefault()
      ACTIONS[event.key]?.()
    }
  })
}

export default function () {}
