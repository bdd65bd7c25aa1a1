// A table of any length: only the rows in view exist.
//
// It is a grid with one stop for the Tab key; arrows, Page Up and Down, Home and End move the chosen row, Enter opens
// it. The focus stays on the grid, which tells a reader by aria-activedescendant where it is, because rows that are
// scrolled away are not there to have it.

import { gently, h } from "./dom.js";

const ROW = 28;
/** Rows beyond the edges, so that a little scrolling finds them. */
const SPARE = 6;
let lists = 0;

export class List {
  /**
   * columns: [{title, sort?}]; key(item); draw(cells, item, row) fills the cells; open(item) on Enter or a click;
   * onSort(column index).
   */
  constructor({ label, name, columns, key, draw, open, onSort }) {
    Object.assign(this, { key, draw, open, columns });
    this.id = `list${lists++}`;
    this.items = [];
    this.chosen = null;
    this.rows = [];
    this.heads = columns.map((column, index) =>
      h("span", { role: "columnheader", "aria-colindex": index + 1 },
        column.sort
          ? h("button", { type: "button", tabindex: "-1", on: { click: () => onSort(index) } }, column.title)
          : column.title));
    this.space = h("div", { class: "space", role: "rowgroup" });
    this.element = h("div", {
      class: `grid ${name}`, role: "grid", tabindex: "0", "aria-label": label, "aria-colcount": columns.length,
      on: { scroll: () => this.render(), keydown: (event) => this.press(event), click: (event) => this.click(event) },
    }, h("div", { class: "head", role: "rowgroup" }, h("div", { class: "row", role: "row", "aria-rowindex": 1 }, this.heads)),
    this.space);
    this.render = gently(() => this.show());
    new ResizeObserver(this.render).observe(this.element);
  }

  /** Shows other items; the scroll position stays with the row at the top if `pinned`. */
  set(items, pinned = false) {
    if (pinned && this.element.scrollTop > 0 && this.items.length) {
      const top = this.items[Math.floor(this.element.scrollTop / ROW)];
      const index = top === undefined ? -1 : items.findIndex((item) => this.key(item) === this.key(top));
      const moved = index - Math.floor(this.element.scrollTop / ROW);
      this.items = items;
      this.resize();
      if (index >= 0 && moved) this.element.scrollTop += moved * ROW;
    } else {
      this.items = items;
      this.resize();
    }
    this.render();
  }

  /** Marks the column that the items are sorted by. */
  sorted(column, down) {
    this.heads.forEach((head, index) => {
      if (index === column) head.setAttribute("aria-sort", down ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
  }

  resize() {
    this.space.style.height = `${this.items.length * ROW}px`;
    this.element.setAttribute("aria-rowcount", this.items.length + 1);
  }

  show() {
    const room = Math.ceil(this.element.clientHeight / ROW) + 2 * SPARE;
    // Fewer items than before: the browser has not scrolled back to them yet.
    const first = Math.max(0, Math.min(Math.floor(this.element.scrollTop / ROW) - SPARE, this.items.length - room));
    const last = Math.min(this.items.length, first + room);
    while (this.rows.length < last - first) this.add();
    while (this.rows.length > last - first) this.rows.pop().row.remove();
    let active = null;
    this.rows.forEach(({ row, cells }, slot) => {
      const item = this.items[first + slot];
      const chosen = this.key(item) === this.chosen;
      row.index = first + slot;
      row.id = `${this.id}-${first + slot}`;
      row.setAttribute("aria-rowindex", first + slot + 2);
      row.setAttribute("aria-selected", chosen);
      row.style.transform = `translateY(${(first + slot) * ROW}px)`;
      if (chosen) active = row.id;
      this.draw(cells, item, row);
    });
    if (active) this.element.setAttribute("aria-activedescendant", active);
    else this.element.removeAttribute("aria-activedescendant");
  }

  add() {
    const cells = this.columns.map((_, index) => h("span", { role: "gridcell", "aria-colindex": index + 1 }));
    const row = h("div", { class: "row", role: "row" }, cells);
    this.rows.push({ row, cells });
    this.space.append(row);
  }

  click(event) {
    const row = event.target.closest(".row");
    if (row?.index === undefined || event.target.closest("a, button")) return;
    this.choose(row.index);
    this.open?.(this.items[row.index]);
  }

  press(event) {
    if (event.target !== this.element || event.ctrlKey || event.metaKey || event.altKey || !this.items.length) return;
    const at = this.items.findIndex((item) => this.key(item) === this.chosen);
    const page = Math.max(1, Math.floor(this.element.clientHeight / ROW) - 2);
    const steps = { ArrowDown: at + 1, ArrowUp: at - 1, PageDown: at + page, PageUp: at - page, Home: 0, End: Infinity };
    if (event.key in steps) {
      event.preventDefault();
      this.choose(Math.min(this.items.length - 1, Math.max(0, steps[event.key])));
    } else if (event.key === "Enter" && at >= 0) {
      event.preventDefault();
      this.open?.(this.items[at]);
    }
  }

  choose(index) {
    this.chosen = this.key(this.items[index]);
    const head = this.space.offsetTop;
    const top = index * ROW;
    const { scrollTop, clientHeight } = this.element;
    if (top < scrollTop) this.element.scrollTop = top;
    else if (top + ROW > scrollTop + clientHeight - head) this.element.scrollTop = top + ROW - clientHeight + head;
    this.render();
  }
}
