// The output of a run, while it is printed. A socket brings the new lines only, older ones are asked for when somebody
// wants to see them. Lines are drawn in blocks, and only the blocks near what is looked at are in the page.
// What a line says is set as text, never as HTML.

const LEVELS = { debug: 0, info: 1, warning: 2, error: 3 }
const SHORT = { debug: "DEBUG", warning: "WARN", error: "ERROR", stdout: "out", stderr: "err", system: "sys" }
const KEPT = 120000
const BLOCK = 200
const LINE_PX = 20
const TYPING_MS = 120
const WORST_RETRY_MS = 8000
const NEAR_PX = 1500
const logs = new WeakMap()

function clockOf(zone) {
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23" }
  try {
    return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone })
  } catch {
    return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC" })
  }
}

function lineOf([id, at, level, stream, raw]) {
  return { id, at, level, stream, raw, text: plain(raw) }
}

class Log {
  constructor(root) {
    this.find = (selector) => root.querySelector(selector)
    this.box = this.find(".lines")
    this.lines = []
    this.hasOlder = false
    this.least = 0
    this.wanted = ""
    this.following = true
    this.watcher = new IntersectionObserver((seen) => this.draw(seen), { root: this.box, rootMargin: `${NEAR_PX}px 0px` })
    this.listen(root)
  }

  listen(root) {
    const search = this.find("input")
    search.oninput = () => {
      clearTimeout(this.typing)
      this.typing = setTimeout(() => this.search(search.value.toLowerCase()), TYPING_MS)
    }
    for (const button of root.querySelectorAll("[data-level]")) {
      button.onclick = () => {
        this.least = Number(button.dataset.level)
        for (const each of root.querySelectorAll("[data-level]")) each.setAttribute("aria-pressed", each === button)
        this.lookAtAll()
      }
    }
    this.toggle(".times", "no-times")
    this.toggle(".wrap", "no-wrap")
    this.find(".first-error").onclick = () => this.goToFirstError()
    this.find(".follow").onclick = () => this.follow(!this.following)
    this.box.onscroll = () => this.scrolled()
  }

  toggle(selector, className) {
    this.find(selector).onclick = (event) => {
      const off = this.box.classList.toggle(className)
      event.currentTarget.setAttribute("aria-pressed", !off)
    }
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.box
    const fromEnd = scrollHeight - scrollTop - clientHeight
    if (this.following && fromEnd > 60 && scrollTop < this.lastTop) this.follow(false)
    this.lastTop = scrollTop
    if (scrollTop < NEAR_PX && this.hasOlder && !this.following) this.readOlder()
  }

  show({ run, over, zone, height, reveal }) {
    this.over = over
    this.find(".log").style.setProperty("--height", `${height}px`)
    this.find(".log").classList.toggle("over", over)
    if (run === this.run) return this.state()
    this.run = run
    this.clock = clockOf(zone)
    this.zone = zone
    this.lines = []
    this.hasOlder = false
    this.retry = 400
    this.find(".download").href = `/logs/${run}.txt`
    this.redraw()
    this.open()
    if (reveal) this.find(".log").scrollIntoView({ block: "end" })
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
    socket.onmessage = (event) => this.hear(JSON.parse(event.data))
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

  hear({ lines, older }) {
    if (older !== undefined) this.hasOlder = older
    const added = lines.map(lineOf)
    this.lines.push(...added)
    if (this.lines.length > KEPT) {
      this.lines.splice(0, this.lines.length - KEPT)
      return this.redraw()
    }
    this.append(added.filter((line) => this.matches(line)))
    this.count()
  }

  // Older lines.

  async readOlder() {
    if (this.reading) return this.reading
    this.reading = this.fetchOlder(this.run).finally(() => (this.reading = null))
    return this.reading
  }

  async fetchOlder(run) {
    const before = this.lines[0]?.id
    const answer = await fetch(`/logs/${run}/before/${before}`)
    if (!answer.ok || run !== this.run) return (this.hasOlder = false)
    const { lines, older } = await answer.json()
    this.hasOlder = older && this.lines.length + lines.length < KEPT
    this.lines.unshift(...lines.map(lineOf))
    const { scrollTop, scrollHeight } = this.box
    this.redraw()
    this.box.scrollTop = this.following ? this.box.scrollHeight : scrollTop + this.box.scrollHeight - scrollHeight
  }

  async readAll() {
    while (this.hasOlder) {
      this.find(".count").textContent = `Reading, ${this.lines.length} lines so far`
      await this.readOlder()
    }
  }

  async search(wanted) {
    this.wanted = wanted
    await this.lookAtAll()
  }

  // What is filtered is looked for in everything, not only in the end.
  async lookAtAll() {
    this.redraw()
    if (this.wanted || this.least) {
      await this.readAll()
      this.redraw()
    }
  }

  async goToFirstError() {
    await this.readAll()
    const line = this.lines.find(({ level }) => level === "error") ?? this.lines.find(({ stream }) => stream === "stderr")
    if (!line) return (this.find(".count").textContent = "No error in it")
    this.follow(false)
    const block = [...this.box.querySelectorAll(".block")].find((each) => each.lines.includes(line))
    if (!block) return
    this.fill(block)
    const shown = block.children[block.lines.indexOf(line)]
    shown.classList.add("found")
    shown.scrollIntoView({ block: "center" })
  }

  // Drawing.

  matches(line) {
    return LEVELS[line.level] >= this.least && (!this.wanted || line.text.toLowerCase().includes(this.wanted))
  }

  redraw() {
    this.watcher.disconnect()
    this.box.replaceChildren()
    this.append(this.lines.filter((line) => this.matches(line)))
    this.count()
  }

  append(lines) {
    if (lines.length) this.box.querySelector(".hint")?.remove()
    let rest = lines
    const last = this.box.lastElementChild
    if (last?.lines && last.lines.length < BLOCK && rest.length) {
      const fits = rest.slice(0, BLOCK - last.lines.length)
      last.lines.push(...fits)
      rest = rest.slice(fits.length)
      if (last.drawn) last.append(...fits.map((line) => this.line(line)))
      else this.leaveRoom(last)
    }
    for (let at = 0; at < rest.length; at += BLOCK) this.box.append(this.block(rest.slice(at, at + BLOCK)))
    if (!this.box.childElementCount) {
      this.box.append(make("div", "hint", this.lines.length ? "No line matches." : "Nothing has been printed."))
    }
    if (this.following) {
      // The end is what is looked at: it is there before anybody scrolls.
      const end = this.box.lastElementChild
      if (end.lines) this.fill(end)
      this.box.scrollTop = this.box.scrollHeight
    }
  }

  block(lines) {
    const made = make("div", "block")
    made.lines = lines
    this.leaveRoom(made)
    this.watcher.observe(made)
    return made
  }

  leaveRoom(block) {
    block.style.minHeight = `${block.lines.length * LINE_PX}px`
  }

  draw(seen) {
    for (const { target, isIntersecting } of seen) {
      if (isIntersecting) this.fill(target)
      else this.empty(target)
    }
  }

  fill(block) {
    if (block.drawn) return
    block.drawn = true
    block.style.minHeight = ""
    block.replaceChildren(...block.lines.map((line) => this.line(line)))
  }

  empty(block) {
    if (!block.drawn) return
    block.style.minHeight = `${block.offsetHeight}px`
    block.drawn = false
    block.replaceChildren()
  }

  line({ at, level, stream, raw }) {
    const kind = level === "info" ? stream : level
    const made = make("div", `line ${level} ${stream === "stderr" ? "err" : stream === "system" ? "sys" : ""}`)
    const time = make("span", "at", this.clock.format(at))
    time.title = `${this.zone}; ${new Date(at).toISOString()}`
    made.append(time, make("span", "kind", SHORT[kind] ?? kind), this.said(raw))
    return made
  }

  said(raw) {
    const made = make("span", "said")
    for (const { text, style } of partsOf(raw)) {
      const part = Object.keys(style).length ? make("span") : made
      this.mark(part, text)
      if (part === made) continue
      paint(part, style)
      made.append(part)
    }
    return made
  }

  mark(into, text) {
    const lower = this.wanted ? text.toLowerCase() : ""
    let from = 0
    for (let at = this.wanted ? lower.indexOf(this.wanted) : -1; at >= 0; at = lower.indexOf(this.wanted, from)) {
      const to = at + this.wanted.length
      into.append(text.slice(from, at), make("mark", "", text.slice(at, to)))
      from = to
    }
    into.append(text.slice(from))
  }

  count() {
    const all = this.lines.length
    const shown = this.wanted || this.least ? this.lines.filter((line) => this.matches(line)).length : all
    const more = this.hasOlder ? "+" : ""
    const lines = `${all}${more} line${all === 1 ? "" : "s"}`
    this.find(".count").textContent = shown === all ? lines : `${shown} of ${lines}`
  }

  follow(following) {
    this.following = following
    this.find(".follow").setAttribute("aria-pressed", following)
    if (following) {
      const end = this.box.lastElementChild
      if (end?.lines) this.fill(end)
      this.box.scrollTop = this.box.scrollHeight
    }
  }

  close() {
    const socket = this.socket
    this.socket = null
    socket?.close()
    this.watcher.disconnect()
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
