// Going to a page with parameters makes Streamlit push two entries: the old path with the new parameters, then the new
// path. Back would land on the first, where the old page has lost its filters. The pair becomes one entry here.

const TOGETHER_MS = 400

if (!window.duetimeHistory) {
  window.duetimeHistory = true
  const push = history.pushState.bind(history)
  let last = { at: -Infinity }
  history.pushState = (state, title, address) => {
    const to = new URL(address, location.href)
    const from = { path: location.pathname, search: location.search }
    const second =
      performance.now() - last.at < TOGETHER_MS &&
      last.path === from.path &&
      to.pathname !== from.path &&
      to.search === from.search
    last = second ? { at: -Infinity } : { at: performance.now(), path: to.pathname }
    return second ? history.replaceState(state, title, address) : push(state, title, address)
  }
}

export default function () {}
