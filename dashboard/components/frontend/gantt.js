// A lane for each worker, a bar for each run, coloured by how it ended.

function bar({ id, href, tone, begin, width, title }, fire) {
  const made = make("a", tone)
  made.href = href
  made.title = title
  made.setAttribute("aria-label", title)
  made.style.left = `${begin * 100}%`
  made.style.width = `${width * 100}%`
  made.onclick = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return
    event.preventDefault()
    fire("open", id)
  }
  return made
}

function lane(name, track) {
  const made = make("div", "lane")
  const label = make("span", "name", name)
  label.title = name
  made.append(label, track)
  return made
}

function scale(ticks) {
  const made = make("div", "scale")
  for (const { at, word } of ticks) {
    const tick = make("span", "", word)
    tick.style.left = `${at * 100}%`
    made.append(tick)
  }
  return made
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".gantt")
  root.setAttribute("aria-label", data.label)
  const lanes = data.lanes.map(({ name, bars }) => {
    const track = make("div", "track")
    track.append(...bars.map((each) => bar(each, setTriggerValue)))
    return lane(name, track)
  })
  root.replaceChildren(...(lanes.length ? [...lanes, lane("", scale(data.ticks))] : [make("div", "none", data.empty)]))
}
