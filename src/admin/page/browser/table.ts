/** Tables of the page: a header, a row for each item, and a button for those beyond a limit. */
import { type Cell, element, fill, setText, show } from "./dom.ts";
import { count } from "./format.ts";

export interface Column<T> {
  readonly title: string;
  readonly isNumber?: boolean;
  cell(item: T): Cell;
}

export interface TableOptions<T> {
  /** The first one names the row. */
  readonly columns: readonly Column<T>[];
  /** Rows that are shown until the reader asks for all. */
  readonly limit: number;
  /** Plural, for the button: `workers`. */
  readonly what: string;
  /** Shown if there is no row. */
  readonly empty: string;
}

/**
 * Turns an empty `table` of the page into one that shows items; returns the function that does it.
 * On narrow screens a style turns rows into blocks, so roles are given explicitly.
 */
export function makeTable<T>(
  table: HTMLElement,
  { columns, limit, what, empty }: TableOptions<T>,
): (items: readonly T[], all?: number) => void {
  const body = element("tbody", { role: "rowgroup" });
  const header = element(
    "tr",
    { role: "row" },
    ...columns.map(({ title, isNumber }) =>
      element("th", { scope: "col", role: "columnheader", ...(isNumber && NUMBER) }, title)
    ),
  );
  table.setAttribute("role", "table");
  const none = element("td", { role: "cell", class: "muted", colspan: `${columns.length}` }, empty);
  const note = element("tbody", { role: "rowgroup" }, element("tr", { role: "row" }, none));
  table.append(element("thead", { role: "rowgroup" }, header), body, note);
  const button = element("button", { type: "button", "aria-expanded": "false" });
  button.setAttribute("aria-controls", table.id);
  const more = element("p", { class: "more" }, button);
  table.after(more);

  let latest: readonly T[] = [];
  let all = 0;
  let isOpen = false;
  const draw = () => {
    fill(body, isOpen ? latest : latest.slice(0, limit), () => makeRow(columns), (row, item) => {
      columns.forEach((column, i) => show(row.children[i] as HTMLElement, column.cell(item)));
    });
    note.hidden = latest.length > 0;
    more.hidden = latest.length <= limit;
    const missing = all > latest.length
      ? `, the first ${count(latest.length)} of ${count(all)}`
      : "";
    setText(
      button,
      isOpen ? `Show only ${limit} ${what}` : `Show all ${count(latest.length)} ${what}${missing}`,
    );
  };
  button.addEventListener("click", () => {
    isOpen = !isOpen;
    button.setAttribute("aria-expanded", String(isOpen));
    draw();
  });
  return (items, total = items.length) => {
    latest = items;
    all = total;
    draw();
  };
}

const NUMBER = { class: "number" };

function makeRow<T>(columns: readonly Column<T>[]): HTMLElement {
  return element(
    "tr",
    { role: "row" },
    ...columns.map(({ title, isNumber }, i) => {
      const attributes = { "data-label": title, ...(isNumber && NUMBER) };
      return i === 0
        ? element("th", { scope: "row", role: "rowheader", ...attributes })
        : element("td", { role: "cell", ...attributes });
    }),
  );
}
