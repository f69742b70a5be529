// What terminals do with escape codes: colours and weight are kept, everything else is left out.

const ESCAPES = /\x1b\[([0-9;:?]*)([A-Za-z])|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b./g
const HUES = ["gray", "red", "green", "yellow", "blue", "violet", "blue", "text"]
const LEVELS_OF_CUBE = [0, 95, 135, 175, 215, 255]

function hueOf(code) {
  if (code >= 30 && code <= 37) return HUES[code - 30]
  return code >= 90 && code <= 97 ? HUES[code - 90] : null
}

function paletteColour(number) {
  if (number < 16) return null
  if (number >= 232) return Array(3).fill(8 + (number - 232) * 10)
  const at = number - 16
  return [Math.floor(at / 36), Math.floor(at / 6) % 6, at % 6].map((level) => LEVELS_OF_CUBE[level])
}

// 38;5;n and 38;2;r;g;b: how many codes they take, and the colour; 48 is the same for the background, which is left out.
function extended(codes, at) {
  if (codes[at + 1] === 5) return [2, codes[at + 2] < 16 ? HUES[codes[at + 2] % 8] : paletteColour(codes[at + 2])]
  return codes[at + 1] === 2 ? [4, codes.slice(at + 2, at + 5)] : [0, null]
}

function styled(style, codes) {
  let next = { ...style }
  for (let at = 0; at < codes.length; at++) {
    const code = codes[at]
    if (code === 0) next = {}
    else if (code === 1) next.bold = true
    else if (code === 4) next.underline = true
    else if (code === 22) next.bold = false
    else if (code === 24) next.underline = false
    else if (code === 39) next.colour = null
    else if (code === 38 || code === 48) {
      const [taken, colour] = extended(codes, at)
      if (code === 38) next.colour = colour
      at += taken
    } else if (hueOf(code)) next.colour = hueOf(code)
  }
  return next
}

// The parts of a line, each with its style.
function partsOf(raw) {
  if (!raw.includes("\x1b")) return [{ text: raw, style: {} }]
  const parts = []
  let style = {}
  let from = 0
  for (const found of raw.matchAll(ESCAPES)) {
    if (found.index > from) parts.push({ text: raw.slice(from, found.index), style })
    if (found[2] === "m") style = styled(style, found[1].split(/[;:]/).map(Number))
    from = found.index + found[0].length
  }
  if (from < raw.length) parts.push({ text: raw.slice(from), style })
  return parts
}

function plain(raw) {
  return raw.includes("\x1b") ? raw.replace(ESCAPES, "") : raw
}

function paint(element, { colour, bold, underline }) {
  if (typeof colour === "string") element.classList.add(`hue-${colour}`)
  // Towards the text's own colour, so that it can be read on light and dark.
  if (Array.isArray(colour)) element.style.color = `color-mix(in srgb, rgb(${colour.map(Number).join(" ")}) 65%, var(--st-text-color))`
  if (bold) element.style.fontWeight = "700"
  if (underline) element.style.textDecoration = "underline"
}
