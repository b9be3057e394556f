// Nodes are made once and updated in place. Text is only ever set as text: what clients
// send is shown here.

/** A new element. A prop that begins with "on" is a listener, others are attributes. */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else attribute(node, name, value);
  }
  node.append(...children);
  return node;
}

export const $ = (selector, within = document) => within.querySelector(selector);

/** Sets a leaf's text, if it is another: selections and screen readers are not disturbed. */
export function text(node, value) {
  value = String(value);
  if (node.textContent !== value) node.textContent = value;
  return node;
}

/** Sets an attribute; false, null and undefined remove it, true is the empty one. */
export function attribute(node, name, value) {
  if (value === false || value == null) node.removeAttribute(name);
  else if (node.getAttribute(name) !== String(value === true ? '' : value)) {
    node.setAttribute(name, value === true ? '' : value);
  }
  return node;
}

export const hide = (node, hidden) => attribute(node, 'hidden', Boolean(hidden));

/**
 * A list whose nodes stay as long as their items do. make(item) returns {node, update};
 * update(item) is called for new items and for those that changed.
 */
export function keyed(parent, make) {
  const rows = new Map();
  return (items, key) => {
    const wanted = new Map();
    for (const item of items) {
      let name = key(item);
      while (wanted.has(name)) name += '+';
      wanted.set(name, item);
    }
    for (const [name, row] of rows) {
      if (wanted.has(name)) continue;
      row.node.remove();
      rows.delete(name);
    }
    let at = parent.firstChild;
    for (const [name, item] of wanted) {
      let row = rows.get(name);
      if (!row) rows.set(name, (row = make(item)));
      if (row.node === at) at = at.nextSibling;
      else parent.insertBefore(row.node, at);
      const now = JSON.stringify(item);
      if (row.was !== now) row.update(item);
      row.was = now;
    }
  };
}

/** Makes a list of links or buttons one stop of the Tab key, in which the arrow keys move. */
export function rove(container, selector) {
  const items = () => [...container.querySelectorAll(selector)];
  const enter = (node) => {
    for (const other of container.querySelectorAll(`${selector}[tabindex="0"]`)) other.tabIndex = -1;
    node.tabIndex = 0;
  };
  container.addEventListener('focusin', ({ target }) => target.matches(selector) && enter(target));
  container.addEventListener('keydown', (event) => {
    const step = { ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 }[event.key];
    const all = items(),
      at = all.indexOf(document.activeElement);
    if (at < 0 || event.altKey || event.ctrlKey || event.metaKey) return;
    const next = step ? all[at + step] : event.key === 'Home' ? all[0] : event.key === 'End' ? all.at(-1) : null;
    if (!next) return;
    event.preventDefault();
    next.focus();
    next.scrollIntoView({ block: 'nearest' });
  });
  /** Call it after each update: one item can always be reached. */
  return () => {
    for (const node of container.querySelectorAll(`${selector}:not([tabindex])`)) node.tabIndex = -1;
    if (container.querySelector(`${selector}[tabindex="0"]`)) return;
    const first = container.querySelector(selector);
    if (first) first.tabIndex = 0;
  };
}
