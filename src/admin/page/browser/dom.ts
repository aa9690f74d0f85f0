/** Elements made from data. Text is only ever set as text, so data cannot become markup. */

type Attributes = Readonly<Record<string, string>>;

/** A new element; strings among its children are text. */
export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: readonly (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** The element of the page with this id. */
export function byId(id: string): HTMLElement {
  return document.getElementById(id)!;
}

/** Changes the text only if it differs, so that a selection in it stays. */
export function setText(node: Element, text: string): void {
  if (node.textContent !== text) node.textContent = text;
}

/** How good or bad a value is; words say the same. */
export type Tone = "good" | "warning" | "error" | "neutral";

/** What a table's cell or a description shows. */
export interface Cell {
  readonly text: string;
  /** Shows it as a badge of this colour. */
  readonly tone?: Tone | undefined;
  /** A time, which is then shown as `text` with this as its title. */
  readonly iso?: string | undefined;
  readonly title?: string | undefined;
  /** A smaller second line. */
  readonly note?: string | undefined;
}

/** Shows a cell in an element, unless it shows the same already. */
export function show(parent: HTMLElement, cell: Cell): void {
  const state = JSON.stringify(cell);
  if (shown.get(parent) === state) return;
  shown.set(parent, state);
  const { text, tone, iso, title, note } = cell;
  const content = iso !== undefined
    ? element("time", { datetime: iso, title: iso }, text)
    : tone !== undefined
    ? element("span", { class: `badge ${tone}` }, text)
    : document.createTextNode(text);
  parent.replaceChildren(content);
  if (note) parent.append(element("small", {}, note));
  if (title) parent.title = title;
  else parent.removeAttribute("title");
}

const shown = new WeakMap<HTMLElement, string>();

/** Makes `parent` have one child for each item, reusing those that it has. */
export function fill<T, E extends HTMLElement>(
  parent: HTMLElement,
  items: readonly T[],
  make: () => E,
  update: (child: E, item: T, index: number) => void,
): void {
  while (parent.children.length > items.length) parent.lastElementChild!.remove();
  items.forEach((item, i) => {
    const child = (parent.children[i] ?? parent.appendChild(make())) as E;
    update(child, item, i);
  });
}

/** Shows pairs of a term and its description. */
export function describe(list: HTMLElement, pairs: readonly (readonly [string, Cell])[]): void {
  fill(
    list,
    pairs,
    () => element("div", {}, element("dt"), element("dd")),
    (pair, [term, cell]) => {
      setText(pair.firstElementChild!, term);
      show(pair.lastElementChild as HTMLElement, cell);
    },
  );
}
