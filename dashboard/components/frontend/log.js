// The output of a run, while it is printed: a socket brings the new lines only, and the oldest leave the page.
// What a line says is set as text, never as HTML.

const LEVELS = { debug: 0, info: 1, warning: 2, error: 3 }
const SHORT = { debug: "DEBUG", warning: "WARN", error: "ERROR", stdout: "out", stderr: "err", system: "sys" }
const KEPT = 6000
const SHOWN = 1500
const TYPING_MS = 120
const WORST_RETRY_MS = 8000
const COLOURS = /\x1b\[[0-9;?]*[A-Za-z]/g
const logs = new WeakMap()

function clockOf(zone) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" }
  try {
    return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone })
  } catch {
    return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" })
  }
}

class Log {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector)
    this.box = this.find(".lines")
    this.lines = []
    this.least = 0
    this.wanted = ""
    this.following = true
    this.listen(root)
  }

  listen(root) {
    const search = this.find("input")
    search.oninput = () => {
      clearTimeout(this.typing)
      this.typing = setTimeout(() => {
        this.wanted = search.value.toLowerCase()
        this.draw()
      }, TYPING_MS)
    }
    for (const button of root.querySelectorAll("[data-level]")) {
      button.onclick = () => {
        this.least = Number(button.dataset.level)
        for (const each of root.querySelectorAll("[data-level]")) each.setAttribute("aria-pressed", each === button)
        this.draw()
      }
    }
    this.find(".times").onclick = (event) => {
      const hidden = this.box.classList.toggle("no-times")
      event.currentTarget.setAttribute("aria-pressed", !hidden)
    }
    this.find(".follow").onclick = () => this.follow(!this.following)
    this.box.onscroll = () => {
      const fromEnd = this.box.scrollHeight - this.box.scrollTop - this.box.clientHeight
      if (this.following && fromEnd > 60 && this.box.scrollTop < this.lastTop) this.follow(false)
      this.lastTop = this.box.scrollTop
    }
  }

  show({ run, over, zone, height }) {
    this.over = over
    this.find(".log").style.setProperty("--height", `${height}px`)
    this.find(".log").classList.toggle("over", over)
    if (run === this.run) return this.state()
    this.run = run
    this.clock = clockOf(zone)
    this.zone = zone
    this.lines = []
    this.retry = 400
    this.find(".download").href = `/logs/${run}.txt`
    this.draw()
    this.open()
  }

  open() {
    this.socket?.close()
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + `/live/logs/${this.run}`)
    this.socket = socket
    socket.onopen = () => {
      this.retry = 400
      socket.send(JSON.stringify({ after: this.lines.at(-1)?.id ?? null }))
      this.state()
    }
    socket.onmessage = (event) => this.add(JSON.parse(event.data).lines)
    socket.onclose = () => {
      if (socket !== this.socket) return
      this.state()
      this.reopening = setTimeout(() => this.open(), this.retry * (0.7 + Math.random() * 0.6))
      this.retry = Math.min(this.retry * 2, WORST_RETRY_MS)
    }
  }

  state() {
    const open = this.socket?.readyState === WebSocket.OPEN
    const state = this.find(".state")
    state.className = `state ${open ? (this.over ? "" : "on") : "off"}`
    state.textContent = open ? (this.over ? "Finished" : "Live") : "Reconnecting"
  }

  add(rows) {
    const added = rows.map(([id, at, level, stream, text]) => ({ id, at, level, stream, text: text.replace(COLOURS, "") }))
    this.lines.push(...added)
    if (this.lines.length > KEPT) this.lines.splice(0, this.lines.length - KEPT)
    if (added.length > SHOWN) return this.draw()
    this.append(added.filter((line) => this.matches(line)))
    this.count()
  }

  matches(line) {
    return LEVELS[line.level] >= this.least && (!this.wanted || line.text.toLowerCase().includes(this.wanted))
  }

  draw() {
    this.box.replaceChildren()
    this.append(this.lines.filter((line) => this.matches(line)).slice(-SHOWN))
    this.count()
  }

  append(lines) {
    if (lines.length) this.box.querySelector(".hint")?.remove()
    this.box.append(...lines.map((line) => this.line(line)))
    while (this.box.childElementCount > SHOWN) this.box.firstChild.remove()
    if (!this.box.childElementCount) {
      this.box.append(make("div", "hint", this.lines.length ? "No line matches." : "Nothing has been printed."))
    }
    if (this.following) this.box.scrollTop = this.box.scrollHeight
  }

  line({ at, level, stream, text }) {
    const kind = level === "info" ? stream : level
    const made = make("div", `line ${level} ${stream === "stderr" ? "err" : stream === "system" ? "sys" : ""}`)
    const time = make("span", "at", this.clock.format(at))
    time.title = `${this.zone}; ${new Date(at).toISOString()}`
    made.append(time, make("span", "kind", SHORT[kind] ?? kind), this.said(text))
    return made
  }

  said(text) {
    const made = make("span", "said")
    if (!this.wanted) {
      made.textContent = text
      return made
    }
    const lower = text.toLowerCase()
    let from = 0
    for (let at = lower.indexOf(this.wanted); at >= 0; at = lower.indexOf(this.wanted, from)) {
      const to = at + this.wanted.length
      made.append(text.slice(from, at), make("mark", "", text.slice(at, to)))
      from = to
    }
    made.append(text.slice(from))
    return made
  }

  count() {
    const all = this.lines.length
    const shown = this.wanted || this.least ? this.lines.filter((line) => this.matches(line)).length : all
    this.find(".count").textContent = shown === all ? `${all} line${all === 1 ? "" : "s"}` : `${shown} of ${all} lines`
  }

  follow(following) {
    this.following = following
    this.find(".follow").setAttribute("aria-pressed", following)
    if (following) this.box.scrollTop = this.box.scrollHeight
  }

  close() {
    const socket = this.socket
    this.socket = null
    socket?.close()
    clearTimeout(this.reopening)
    clearTimeout(this.typing)
  }
}

export default function ({ parentElement, data }) {
  if (!logs.has(parentElement)) logs.set(parentElement, new Log(parentElement))
  const log = logs.get(parentElement)
  log.show(data)
  return () => {
    log.close()
    logs.delete(parentElement)
  }
}
