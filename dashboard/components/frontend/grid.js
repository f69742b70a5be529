// An accessible table whose times tick.

const CLICKED_MS = 1200
const grids = new WeakMap()

function classOf({ align, spare }) {
  return `${align} ${spare ? "spare" : ""}`
}

function cell(column, row, grid) {
  const value = row[column.key]
  const blank = isBlank(value)
  const made = make("td", `is-${column.kind} ${classOf(column)} ${blank ? "blank" : ""}`)
  if (["away", "elapsed", "text", "muted"].includes(column.kind) && column.label) made.dataset.label = column.label
  made.append(...(blank ? [make("span", "none", column.kind === "tags" ? "" : "–")] : CELLS[column.kind](value, row, grid)))
  return made
}

function action({ key, icon: name, label }, row, grid) {
  const button = make("button")
  button.title = label
  button.setAttribute("aria-label", `${label}: ${row.name.text}`)
  button.dataset.focus = `${key} ${row.id}`
  button.append(icon(name))
  button.onclick = () => {
    button.disabled = true
    setTimeout(() => (button.disabled = false), CLICKED_MS)
    grid.fire("action", { id: row.id, action: key, at: Date.now() })
  }
  return button
}

// Chosen rows are Python's to keep: a page has only some of them.
function box(label, checked, onChange) {
  const made = make("input")
  made.type = "checkbox"
  made.checked = checked
  made.setAttribute("aria-label", label)
  made.onchange = () => onChange(made.checked)
  return made
}

class Grid {
  constructor(root) {
    this.root = root.querySelector(".grid")
    this.seen = new Map()
    this.timer = setInterval(() => document.hidden || tickAll(this.root), TICK_MS)
  }

  show(data, fire) {
    this.fire = fire
    const shown = JSON.stringify(data)
    if (shown === this.shown) return
    this.shown = shown
    const focused = this.root.getRootNode().activeElement?.dataset?.focus
    const scroll = make("div", "scroll")
    scroll.append(this.table(data))
    this.root.replaceChildren(scroll)
    this.seen = new Map(data.rows.map((row) => [row.id, row.rev]))
    if (focused) this.root.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus()
  }

  table(data) {
    const table = make("table", `${data.dense ? "dense" : ""} ${data.cards ? "cards" : ""}`)
    table.setAttribute("aria-label", data.label)
    const hasActions = data.rows.some((row) => row.actions)
    this.chosen = data.chosen && new Set(data.chosen)
    if (data.head && data.rows.length) table.append(this.head(data, hasActions))
    const body = make("tbody")
    body.append(...data.rows.map((row) => this.row(row, data.columns, hasActions)))
    if (!data.rows.length) body.append(this.nothing(data.empty))
    table.append(body)
    return table
  }

  choose(ids, on) {
    this.fire("choose", { ids, on, at: Date.now() })
  }

  boxOfAll(rows) {
    const ids = rows.map((row) => row.id)
    const chosen = ids.filter((id) => this.chosen.has(id)).length
    const made = make("th", "is-box")
    const all = box("Choose all on this page", chosen === ids.length, (on) => this.choose(ids, on))
    all.indeterminate = chosen > 0 && chosen < ids.length
    all.dataset.focus = "choose all"
    made.append(all)
    return made
  }

  boxOf(row) {
    const made = make("td", "is-box")
    const one = box(`Choose ${row.name.text}`, this.chosen.has(row.id), (on) => this.choose([row.id], on))
    one.dataset.focus = `choose ${row.id}`
    made.append(one)
    return made
  }

  head({ columns, rows }, hasActions) {
    const row = make("tr")
    if (this.chosen) row.append(this.boxOfAll(rows))
    for (const column of columns) row.append(Object.assign(make("th", classOf(column), column.label), { scope: "col" }))
    if (hasActions) {
      const heading = make("th")
      heading.append(make("span", "unseen", "Actions"))
      row.append(heading)
    }
    const head = make("thead")
    head.append(row)
    return head
  }

  row(row, columns, hasActions) {
    const isNews = this.seen.has(row.id) && this.seen.get(row.id) !== row.rev
    const isChosen = this.chosen?.has(row.id)
    const made = make("tr", `${row.dim ? "dim" : ""} ${isNews ? "changed" : ""} ${isChosen ? "chosen" : ""}`)
    if (this.chosen) made.append(this.boxOf(row))
    made.append(...columns.map((column) => cell(column, row, this)))
    if (hasActions) {
      const actions = make("td", "is-actions")
      actions.append(...(row.actions ?? []).map((each) => action(each, row, this)))
      made.append(actions)
    }
    return made
  }

  nothing(text) {
    const row = make("tr")
    row.append(Object.assign(make("td", "none-yet", text), { colSpan: 99 }))
    return row
  }

  close() {
    clearInterval(this.timer)
  }
}

export default function ({ parentElement, data, setTriggerValue }) {
  if (!grids.has(parentElement)) grids.set(parentElement, new Grid(parentElement))
  const grid = grids.get(parentElement)
  grid.show(data, setTriggerValue)
  return () => {
    grid.close()
    grids.delete(parentElement)
  }
}
