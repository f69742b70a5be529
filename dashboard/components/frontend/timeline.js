// Stacked bars over time, in plots of their own scale, with a line at now.

function stack(parts, title) {
  const bar = make("div", "bar")
  bar.title = title
  for (const [tone, share] of parts) {
    const part = make("i", tone)
    part.style.height = `${share * 100}%`
    bar.append(part)
  }
  return bar
}

function plot({ highest, bars }, titles, now) {
  const made = make("div", "plot")
  made.setAttribute("aria-hidden", "true")
  made.append(...titles.map((title, number) => stack(bars[number] ?? [], title)))
  if (highest) made.append(make("span", "highest", highest.toLocaleString("en")))
  const line = make("span", "now")
  line.style.left = `${now * 100}%`
  made.append(line)
  return made
}

function legend(words) {
  const made = make("ul", "legend")
  made.append(...words.map(({ tone, word }) => make("li", tone, word)))
  return made
}

function scale(ticks) {
  const made = make("div", "scale")
  made.setAttribute("aria-hidden", "true")
  for (const { at, word } of ticks) {
    const tick = make("span", "", word)
    tick.style.left = `${at * 100}%`
    made.append(tick)
  }
  return made
}

export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".timeline")
  root.setAttribute("aria-label", data.label)
  const plots = data.plots.map((each) => plot(each, data.titles, data.now))
  root.replaceChildren(legend(data.legend), ...plots, scale(data.ticks))
}
