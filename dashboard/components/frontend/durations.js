// How long the last runs took: a bar each, coloured by how they ended, that leads to its run.

function bar({ id, href, tone, title, share }, fire) {
  const made = document.createElement("a")
  made.className = tone
  made.href = href
  made.title = title
  made.setAttribute("aria-label", title)
  made.style.height = `${Math.max(2, share * 100)}%`
  made.onclick = (event) => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button) return
    event.preventDefault()
    fire("open", id)
  }
  return made
}

export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".durations")
  root.setAttribute("aria-label", data.label)
  root.querySelector(".plot").replaceChildren(...data.items.map((item) => bar(item, setTriggerValue)))
  if (data.line !== null) {
    const line = document.createElement("span")
    line.className = "line"
    line.style.bottom = `${data.line * 100}%`
    root.querySelector(".plot").append(line)
  }
  root.querySelector(".oldest").textContent = data.oldest
  root.querySelector(".longest").textContent = data.longest
}
