// What a task follows, the task, and what follows it: three columns with a line for each link.

const WIDTH = 44

function node({ name, href, on, tone }, open) {
  const made = make("div", `node ${tone ?? ""}`)
  const title = make(href ? "a" : "span", "name", name)
  if (href) {
    title.href = href
    title.onclick = (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return
      event.preventDefault()
      open(href)
    }
  }
  made.append(title)
  if (on) made.append(make("span", "on", on))
  return made
}

function links(count, towards) {
  const height = Math.max(1, count) * WIDTH
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg")
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`)
  svg.setAttribute("aria-hidden", "true")
  svg.style.height = `${height}px`
  for (let number = 0; number < count; number++) {
    const there = (number + 0.5) * WIDTH
    const [from, to] = towards ? [there, height / 2] : [height / 2, there]
    const path = document.createElementNS("http://www.w3.org/2000/svg", "path")
    path.setAttribute("d", `M0 ${from}C${WIDTH / 2} ${from} ${WIDTH / 2} ${to} ${WIDTH - 5} ${to}m-5 -4l5 4l-5 4`)
    svg.append(path)
  }
  return svg
}

function column(nodes, open) {
  const made = make("div", "column")
  made.append(...nodes.map((one) => node(one, open)))
  return made
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".chain")
  const open = (href) => setTriggerValue("open", href)
  root.setAttribute("aria-label", data.label)
  const parts = [column([{ name: data.name, tone: "self" }], open)]
  if (data.before.length) parts.unshift(column(data.before, open), links(data.before.length, true))
  if (data.after.length) parts.push(links(data.after.length, false), column(data.after, open))
  root.replaceChildren(...parts)
}
