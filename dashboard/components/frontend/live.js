// Tells Python that something changed. Hints come over a socket of its own; however many there are, the page is
// drawn again at most once per pause, and not at all while nobody looks at it.

const WORST_RETRY_MS = 8000
// A hint may be lost, so the page is also drawn again from time to time.
const UNASKED_MS = 60000
// A hint that comes while Streamlit draws the page waits until it is done: the run may be about to leave the page, and
// parts of a page that is left cannot be drawn. Between two runs it looks done for a moment, so it is looked at twice.
const LOOK_MS = 40
const LOOKS = 2
// So it waits for the run that a click asks for, and as long as a dialog is open: Streamlit makes one run of what is
// asked for at the same time, and a part that is drawn again leaves out the dialog that was opened from it, with the
// click in it. Not every click asks for a run.
const CLICKED_MS = 1500
const SCRIPT_STATE = "data-test-script-state"
// How the socket is closed of whoever may not come in any more. A page that is loaded then leads to where one signs in.
const MAY_NOT_STAY = 1008
const pages = new WeakMap()

function isDrawing() {
  return document.querySelector(`[${SCRIPT_STATE}="running"]`) !== null
}

async function signInWhereItTakesThat() {
  const answer = await fetch("/api/me").catch(() => null)
  if (answer?.status === 401) location.reload()
}

class Live {
  constructor(root) {
    this.dot = root.querySelector(".live")
    this.word = root.querySelector(".word")
    this.last = 0
    this.retry = 400
    this.owed = null
    this.onVisible = () => this.owed && this.owe(this.owed)
    document.addEventListener("visibilitychange", this.onVisible)
    this.clicked = 0
    this.onClick = () => (this.clicked = Date.now())
    document.addEventListener("click", this.onClick, true)
    this.runs = new MutationObserver(() => isDrawing() && (this.clicked = 0))
    this.runs.observe(document.body, { subtree: true, attributeFilter: [SCRIPT_STATE] })
    this.unasked = setInterval(() => this.owe("change"), UNASKED_MS)
  }

  follow({ topics, known, pause_ms }, fire) {
    this.fire = fire
    this.pause = pause_ms
    const wanted = JSON.stringify(topics)
    if (wanted === this.wanted) return
    this.wanted = wanted
    this.hello = { topics, known }
    this.open()
  }

  open() {
    this.socket?.close()
    const socket = new WebSocket(location.origin.replace(/^http/, "ws") + "/live")
    this.socket = socket
    let opened = false
    socket.onopen = () => {
      opened = true
      this.retry = 400
      socket.send(JSON.stringify(this.hello))
      // From now on it is told; after an outage everything is drawn again anyway.
      this.hello = { topics: this.hello.topics }
      if (this.missed) this.owe("reload")
      this.missed = false
    }
    socket.onmessage = (event) => this.hear(JSON.parse(event.data))
    socket.onclose = ({ code }) => {
      if (socket !== this.socket) return
      if (code === MAY_NOT_STAY) return location.reload()
      if (!opened) signInWhereItTakesThat()
      this.missed = true
      this.show(false)
      this.reopening = setTimeout(() => this.open(), this.retry * (0.7 + Math.random() * 0.6))
      this.retry = Math.min(this.retry * 2, WORST_RETRY_MS)
    }
  }

  hear({ connected, changed }) {
    if (connected !== undefined) this.show(connected)
    if (changed) this.owe(changed)
  }

  owe(what) {
    // Everything includes the parts.
    this.owed = this.owed === "reload" ? "reload" : what
    if (document.hidden || this.timer) return
    this.timer = setTimeout(() => this.pay(), Math.max(20, this.pause - (Date.now() - this.last)))
  }

  pay(quiet = 0) {
    if (quiet < LOOKS) {
      this.timer = setTimeout(() => this.pay(this.isBusy() ? 0 : quiet + 1), LOOK_MS)
      return
    }
    const what = this.owed
    this.timer = this.owed = null
    this.last = Date.now()
    this.fire(what, String(this.last))
  }

  isBusy() {
    const isAsking = document.querySelector('[data-testid="stDialog"]') !== null
    return isDrawing() || isAsking || Date.now() - this.clicked < CLICKED_MS
  }

  show(connected) {
    this.dot.classList.toggle("on", connected)
    this.word.textContent = connected ? "Live" : "Reconnecting"
  }

  close() {
    const socket = this.socket
    this.socket = null
    socket?.close()
    clearInterval(this.unasked)
    clearTimeout(this.timer)
    clearTimeout(this.reopening)
    document.removeEventListener("visibilitychange", this.onVisible)
    document.removeEventListener("click", this.onClick, true)
    this.runs.disconnect()
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  if (!pages.has(parentElement)) pages.set(parentElement, new Live(parentElement))
  const live = pages.get(parentElement)
  live.follow(data, setTriggerValue)
  return () => {
    live.close()
    pages.delete(parentElement)
  }
}
