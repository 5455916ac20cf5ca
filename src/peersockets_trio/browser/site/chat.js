// A chat between the peers that are on a drive at the same time. It uses only `beaker.peersockets`.

const MOST_ENTRIES = 500 // older ones disappear from the page
const SAME_BREATH = 5 * 60 * 1000 // milliseconds within which messages of one person are grouped

const topicName = decodeURIComponent(location.hash.slice(1)) || 'chat'
const $ = id => document.getElementById(id)
const log = $('log')
const messages = $('messages')
const text = $('text')

const topic = beaker.peersockets.join(topicName)
const peerEvents = beaker.peersockets.watch()
const people = new Map() // peer id -> public key

// People

const shortName = publicKey => publicKey.slice(0, 8)
const hueOf = publicKey => Math.round(parseInt(publicKey.slice(0, 4), 16) / 65536 * 360)

// A face is a symmetric pattern of five by five squares, made from the bits of the key.
function drawFace (svg, publicKey) {
  const bits = parseInt(publicKey.slice(4, 8), 16)
  let path = ''
  for (let i = 0; i < 15; i++) {
    if (!(bits >> i & 1)) continue
    const x = i % 3
    const y = Math.floor(i / 3)
    path += `M${x} ${y}h1v1h-1z`
    if (x < 2) path += `M${4 - x} ${y}h1v1h-1z`
  }
  svg.innerHTML = `<path d="${path}" shape-rendering="crispEdges"/>`
}

function personItem (publicKey, remark = '') {
  const item = document.createElement('li')
  item.className = 'person'
  item.style.setProperty('--hue', hueOf(publicKey))
  item.title = publicKey
  const face = document.createElementNS('http://www.w3.org/2000/svg', 'svg')
  face.setAttribute('class', 'face')
  face.setAttribute('viewBox', '0 0 5 5')
  face.setAttribute('aria-hidden', 'true')
  drawFace(face, publicKey)
  item.append(face, element('span', 'name', shortName(publicKey)))
  if (remark) item.append(element('small', '', remark))
  return item
}

// Hundreds may join at once, so the next frame draws all of them.
let peopleChanged = false
function changePeople () {
  if (!peopleChanged) requestAnimationFrame(showPeople)
  peopleChanged = true
  showHint()
}

function showPeople () {
  peopleChanged = false
  const ownKey = beaker.peersockets.publicKey
  const items = [...people.values()].map(publicKey => personItem(publicKey))
  if (ownKey) items.unshift(personItem(ownKey, 'you'))
  $('people').replaceChildren(...items)
  $('people-count').textContent = items.length
  showEmpty()
}

// The log. Entries wait for the next frame: a flood of messages costs one layout, and a hidden tab costs none.

let pending = []
let skipped = 0
let lastSpeaker = null
let lastTime = 0

function element (tag, className, content) {
  const made = document.createElement(tag)
  if (className) made.className = className
  made.textContent = content
  return made
}

const hoursAndMinutes = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit' })

function clock (time) {
  const made = element('time', '', hoursAndMinutes.format(time))
  made.dateTime = new Date(time).toISOString()
  return made
}

function addEntry (build) {
  pending.push(build)
  if (pending.length > MOST_ENTRIES) {
    pending.shift()
    skipped++
  }
  if (pending.length > 1) return
  if (document.hidden) setTimeout(showUnread)
  else requestAnimationFrame(showEntries)
}

function showEntries () {
  if (pending.length === 0 || document.hidden) return
  const entries = pending
  pending = []
  if (skipped > 0) {
    lastSpeaker = null
    messages.append(element('li', 'event', `${skipped} messages passed too quickly to be shown`))
    skipped = 0
  }
  for (const build of entries) messages.append(build())
  while (messages.childElementCount > MOST_ENTRIES) messages.firstElementChild.remove()
  showEmpty()
  if (following) scrollToEnd()
  showUnread()
}

function addMessage (publicKey, bytes, { own = false, note = '' } = {}) {
  const time = Date.now()
  addEntry(() => {
    const item = $('message-template').content.cloneNode(true).firstElementChild
    const speaker = own ? 'own' : publicKey
    item.classList.toggle('own', own)
    item.classList.toggle('more', speaker === lastSpeaker && time - lastTime < SAME_BREATH)
    lastSpeaker = speaker
    lastTime = time
    if (!own) {
      item.style.setProperty('--hue', hueOf(publicKey))
      drawFace(item.querySelector('.face'), publicKey)
    }
    item.querySelector('.name').textContent = own ? 'You' : shortName(publicKey)
    item.querySelector('time').replaceWith(clock(time))
    showWords(item.querySelector('.words'), bytes)
    item.querySelector('.note').textContent = note
    item.querySelector('.note').hidden = !note
    return item
  })
}

function showWords (words, bytes) {
  try {
    words.textContent = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
  } catch {
    words.classList.add('bytes')
    words.textContent = `${bytes.length} bytes that are not text`
  }
}

function addEvent (publicKey, happened, bad = false) {
  const time = Date.now()
  addEntry(() => {
    lastSpeaker = null
    const item = element('li', bad ? 'event bad' : 'event', '')
    if (publicKey) {
      item.style.setProperty('--hue', hueOf(publicKey))
      item.append(element('span', 'name', shortName(publicKey)), ' ')
    }
    item.append(element('span', '', happened), ' ', clock(time))
    return item
  })
}

// Unread messages: a number in the title, a dot on the icon, a line in the log

let unread = 0

let following = true // whether the newest message is in view and stays there
const atEnd = () => log.scrollHeight - log.scrollTop - log.clientHeight < 48
const scrollToEnd = () => { log.scrollTop = log.scrollHeight }

const isRead = () => following && !document.hidden && document.hasFocus()

function countUnread () {
  if (isRead()) return
  if (unread++ > 0) return
  addEntry(() => {
    messages.querySelector('.divider')?.remove()
    lastSpeaker = null
    return element('li', 'divider', 'New')
  })
}

function showUnread () {
  if (isRead() && pending.length === 0) unread = 0
  document.title = unread > 0 ? `(${unread}) ${topicName}` : topicName
  $('newest').hidden = following
  $('newest-text').textContent = unread > 0 ? `${unread} new` : 'Newest'
  showIcon(unread > 0)
}

let icon = null
let marked = false
async function showIcon (mark) {
  if (mark === marked) return
  marked = mark
  icon ??= await (await fetch('icon.svg')).text()
  const drawn = marked ? icon.replace('</svg>', '<circle cx="25" cy="25" r="7" fill="#e5484d"/></svg>') : icon
  document.querySelector('link[rel=icon]').href = 'data:image/svg+xml,' + encodeURIComponent(drawn)
}

log.addEventListener('scroll', () => {
  following = atEnd()
  showUnread()
}, { passive: true })
addEventListener('focus', showUnread)
new ResizeObserver(() => {
  if (following) scrollToEnd()
  showUnread()
}).observe(log)
document.addEventListener('visibilitychange', showEntries)
$('newest').addEventListener('click', () => { scrollToEnd(); text.focus() })

// Sending

const STATES = { idle: 'Connecting', connecting: 'Connecting', open: 'Connected', failed: 'Failed' }
let wasOpen = false

function send () {
  const words = text.value.trim()
  if (!words || !canSend()) return
  const message = new TextEncoder().encode(words)
  try {
    for (const peerId of people.keys()) topic.send(peerId, message)
  } catch (error) {
    addEvent(null, `Not sent: ${error.message}`, true)
    return
  }
  messages.querySelector('.divider')?.remove()
  addMessage(beaker.peersockets.publicKey, message, { own: true })
  text.value = ''
  resizeText()
  showHint()
  following = true
}

const canSend = () => beaker.peersockets.state === 'open' && people.size > 0

function showHint () {
  const offline = beaker.peersockets.state !== 'open'
  $('send').setAttribute('aria-disabled', String(!canSend() || !text.value.trim()))
  $('hint').className = offline && wasOpen ? 'bad' : people.size > 0 ? 'keys' : ''
  if (offline) {
    $('hint').textContent = wasOpen ? 'You can write again as soon as the gateway is back' : 'Connecting to the gateway'
  } else if (people.size === 0) {
    $('hint').textContent = 'You can write as soon as somebody is here'
  } else {
    const keys = (...names) => names.flatMap((name, i) => [i ? '+' : '', element('kbd', '', name)])
    $('hint').replaceChildren(...keys('Enter'), ' sends, ', ...keys('Shift', 'Enter'), ' begins a line')
  }
}

function showState () {
  const { state } = beaker.peersockets
  $('state').dataset.state = state
  $('state').textContent = wasOpen && state === 'connecting' ? 'Reconnecting' : STATES[state]
  if (state === 'open') {
    wasOpen = true
    document.documentElement.style.setProperty('--hue', hueOf(beaker.peersockets.publicKey))
  }
  changePeople()
}

function showEmpty () {
  $('empty').hidden = messages.childElementCount > 0
}

// Browsers with `field-sizing` do this by themselves.
function resizeText () {
  if (CSS.supports('field-sizing', 'content')) return
  text.style.height = 'auto'
  text.style.height = `${text.scrollHeight + 2}px`
}

$('composer').addEventListener('submit', event => {
  event.preventDefault()
  send()
  text.focus()
})
text.addEventListener('keydown', event => {
  if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return
  event.preventDefault()
  send()
})
text.addEventListener('input', () => { resizeText(); showHint() })

// Events of peersockets

peerEvents.addEventListener('join', ({ peerId, publicKey }) => {
  people.set(peerId, publicKey)
  addEvent(publicKey, 'joined')
  changePeople()
})
peerEvents.addEventListener('leave', ({ peerId, publicKey, reason, unsent }) => {
  people.delete(peerId)
  if (beaker.peersockets.state === 'open') {
    addEvent(publicKey, unsent > 0 ? `left before everything reached them${reason && `: ${reason}`}` : 'left', unsent > 0)
  }
  changePeople()
})
topic.addEventListener('message', ({ publicKey, message }) => {
  countUnread()
  addMessage(publicKey, message)
})
topic.addEventListener('lost', event => {
  event.preventDefault()
  const { publicKey, messages, reason } = event
  const why = { gone: 'they have left', full: 'they do not keep up', 'too large': 'it is too large for them' }[reason] ?? reason
  addEvent(publicKey, `did not get ${messages === 1 ? 'a message' : `${messages} messages`}: ${why}`, true)
})
topic.addEventListener('missed', event => {
  event.preventDefault()
  addEvent(null, `${event.messages} messages came too quickly for this page and are lost`, true)
})
beaker.peersockets.addEventListener('statechange', () => {
  if (wasOpen && beaker.peersockets.state === 'connecting') addEvent(null, 'The gateway is gone. Everybody seems to have left.', true)
  if (wasOpen && beaker.peersockets.state === 'open') addEvent(null, 'Connected again')
  if (beaker.peersockets.state === 'failed') addEvent(null, 'The gateway refuses this page. Reload it.', true)
  showState()
})

$('topic').textContent = topicName
$('drive').textContent = location.hostname.split('.')[0].slice(0, 16)
document.title = topicName
addEventListener('hashchange', () => location.reload())
showState()
