// A month: a button for each day, with a stripe of what became of its due times.

const WEEKDAYS = ["Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"]

function day({ id, number, title, parts, count, chosen, today }, fire) {
  const made = make("button", today ? "today" : "")
  made.title = title
  made.setAttribute("aria-label", title)
  made.setAttribute("aria-pressed", chosen)
  made.append(make("span", "number", number), make("span", "count", count))
  const stripe = make("span", "parts")
  for (const [tone, share] of parts) {
    const part = make("i", tone)
    part.style.flex = `${share} 0 0`
    stripe.append(part)
  }
  made.append(stripe)
  made.onclick = () => fire("open", id)
  return made
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".month")
  root.setAttribute("aria-label", data.label)
  const heads = WEEKDAYS.map((word) => make("span", "weekday", word))
  const days = data.days.map((each) => day(each, setTriggerValue))
  if (days.length) days[0].style.gridColumnStart = data.first_weekday + 1
  root.replaceChildren(...heads, ...days)
}
