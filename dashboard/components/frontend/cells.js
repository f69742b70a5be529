// What a cell can show. All text of people is set as text, never as HTML.

const PATHS = {
  check: "M5 12.5l4.5 4.5L19 7.5",
  cross: "M6.5 6.5l11 11m0-11l-11 11",
  clock: "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zm0 4.5V12l3 2",
  hand: "M9 3h6m-3 0v4m0 14a7 7 0 1 0 0-14a7 7 0 0 0 0 14z",
  spinner: "M12 3a9 9 0 1 0 9 9",
  again: "M4 12a8 8 0 1 1 2.5 5.8M4 19v-5h5",
  bolt: "M13 3L5 14h6l-1 7l8-11h-6z",
  ban: "M12 3a9 9 0 1 0 0 18a9 9 0 0 0 0-18zM5.6 5.6l12.8 12.8",
  pause: "M8.5 5v14m7-14v14",
  trash: "M4 7h16M9 7V4h6v3M6.5 7l1 13h9l1-13",
  cloud: "M7 18a4.5 4.5 0 0 1-.6-9A6 6 0 0 1 18 10.2a4 4 0 0 1-1 7.8zM12 16v-5m-2.2 2.2L12 11l2.2 2.2",
  alert: "M12 4L2.8 19.5h18.4zM12 10v4m0 3v.1",
  run: "M8 5.5v13l10-6.5z",
  resume: "M5 5v14m5-14v14l9-7z",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  compare: "M8 4v14m0 0l-3-3m3 3l3-3M16 20V6m0 0l-3 3m3-3l3 3",
  restore: "M4 12a8 8 0 1 0 2.5-5.8M4 5v5h5",
}
const TICK_MS = 1000

function make(tag, className, text) {
  const made = document.createElement(tag)
  if (className) made.className = className
  if (text !== undefined && text !== null) made.textContent = text
  return made
}

function icon(name) {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", "0 0 24 24")
  svg.setAttribute("aria-hidden", "true")
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
  path.setAttribute("d", PATHS[name] ?? "")
  svg.append(path)
  return svg
}

function away(at) {
  const seconds = Math.round((at - Date.now()) / 1000)
  const distance = Math.abs(seconds)
  if (distance < 2) return "now"
  const [amount, unit] =
    distance < 90 ? [distance, "s"]
    : distance < 5400 ? [Math.round(distance / 60), "min"]
    : distance < 129600 ? [Math.round(distance / 3600), "h"]
    : [Math.round(distance / 86400), "d"]
  return seconds < 0 ? `${amount} ${unit} ago` : `in ${amount} ${unit}`
}

function elapsed(since) {
  const seconds = Math.max(0, Math.floor((Date.now() - since) / 1000))
  const pad = (number) => String(number).padStart(2, "0")
  if (seconds < 60) return `${seconds} s`
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m ${pad(seconds % 60)} s`
  return `${Math.floor(seconds / 3600)} h ${pad(Math.floor(seconds / 60) % 60)} m`
}

const TICKING = { away, elapsed }

// With a `limit`, in milliseconds, it shows that it has ticked for longer.
function ticking(kind, { at, title, limit }) {
  const made = make("span", "", TICKING[kind](at))
  made.dataset.tick = kind
  made.dataset.at = at
  if (limit) made.dataset.limit = limit
  markOver(made)
  if (title) made.title = title
  return made
}

function badge({ tone, icon: name, word, title }) {
  const made = make("span", `badge ${tone}${name === "spinner" ? " spins" : ""}`)
  made.append(icon(name), make("span", "", word))
  if (title) made.title = title
  return made
}

function bars({ label, items, of }) {
  const made = make("span", "bars")
  made.setAttribute("role", "img")
  made.setAttribute("aria-label", label)
  for (let i = items.length; i < of; i++) made.append(make("i", "none"))
  for (const { tone, title } of items) {
    const bar = make("i", `bar-${tone}`)
    bar.title = title
    made.append(bar)
  }
  return [made]
}

function title({ text, href, sub }, row, grid) {
  if (!href) return sub ? [make("span", "", text), make("span", "sub", sub)] : [make("span", "", text)]
  const link = make("a", "", text)
  link.href = href
  link.title = text
  link.dataset.focus = `open ${row.id}`
  link.onclick = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return
    event.preventDefault()
    grid.fire("open", row.id)
  }
  return sub ? [link, make("span", "sub", sub)] : [link]
}

const CELLS = {
  title,
  badges: (value) => value.map(badge),
  bars,
  away: (value) => [ticking("away", value)],
  elapsed: (value) => [value.at === undefined ? make("span", "", value.text) : ticking("elapsed", value)],
  tags: (value) => value.map((tag) => Object.assign(make("span", "tag", tag), { title: tag })),
  code: (value) => [make("code", "", value)],
  muted: (value) => [make("span", "muted", value)],
  prose: (value) => [make("span", "", value)],
  text: (value) => [make("span", "", value)],
}

function markOver(ticking) {
  const { at, limit } = ticking.dataset
  if (limit) ticking.classList.toggle("over", Date.now() - Number(at) > Number(limit))
}

function tickAll(root) {
  for (const each of root.querySelectorAll("[data-tick]")) {
    markOver(each)
    const text = TICKING[each.dataset.tick](Number(each.dataset.at))
    if (each.textContent !== text) each.textContent = text
  }
}

function isBlank(value) {
  return value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length)
}
