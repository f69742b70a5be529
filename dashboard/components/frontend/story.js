// What happened, in order, with the time between.

function step({ word, at, title, gap }) {
  const made = make("li")
  if (gap) made.append(make("span", "gap", gap))
  const what = make("span")
  what.title = title
  what.append(make("span", "word", word), make("span", "at", at))
  made.append(what)
  return made
}

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".story")
  root.setAttribute("aria-label", data.label)
  root.replaceChildren(...data.steps.map(step))
}
