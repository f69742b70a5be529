// Days by hours, each hour a button whose colour says how much there is in it.

const HOURS = 24
const LABELLED = 3

function cell({ id, title, share, hour, chosen }, fire) {
  const made = make("button")
  // Squared, because what is to be seen is which hours stand out.
  made.style.setProperty("--share", share * share)
  // A day on which the clock is changed has an hour twice, or lacks one.
  made.style.gridColumn = hour + 2
  made.style.gridRow = 1
  made.title = title
  made.setAttribute("aria-label", title)
  made.setAttribute("aria-pressed", chosen)
  made.onclick = () => fire("open", id)
  return made
}

function row({ name, total, cells }, fire) {
  const made = make("div", "row")
  const sum = make("span", "total", total)
  sum.style.gridColumn = HOURS + 2
  made.append(make("span", "day", name), ...cells.map((each) => cell(each, fire)), sum)
  return made
}

function hours() {
  const made = make("div", "row")
  made.setAttribute("aria-hidden", "true")
  for (let hour = 0; hour < HOURS; hour += LABELLED) {
    const word = make("span", "hour", `${String(hour).padStart(2, "0")}:00`)
    word.style.gridColumn = `${hour + 2} / span 2`
    made.append(word)
  }
  return made
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".heat")
  root.setAttribute("aria-label", data.label)
  root.replaceChildren(...data.days.map((day) => row(day, setTriggerValue)), hours())
}
