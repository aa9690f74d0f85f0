/** The rows of the report and their results. No I/O: it runs on every runtime. */
import { median, ratio, type Rounds, type Spread } from "./statistics.ts";
import type { Target } from "./targets.ts";

/** One line of figures, with one cell per program. */
export interface Row {
  readonly name: string;
  readonly title: string;
  readonly unit: string;
  /** Number of decimals to print. */
  readonly digits: number;
  /** The operation whose CPU time this is; absent for other figures. */
  readonly operation?: string;
}

/** The results of one program in one row. */
export class Cell {
  readonly #values = new Map<number, number>();
  readonly #rates: number[] = [];
  readonly #busy: number[] = [];
  /** Why there is no figure. */
  problem: string | undefined;

  add(round: number, figure: { value: number; rate?: number; busy?: number }): void {
    this.#values.set(round, figure.value);
    if (figure.rate !== undefined) this.#rates.push(figure.rate);
    if (figure.busy !== undefined) this.#busy.push(figure.busy);
  }

  get rounds(): Rounds {
    return this.#values;
  }

  /** The median of all rounds; undefined without any. */
  get value(): number | undefined {
    return this.problem === undefined ? middle([...this.#values.values()]) : undefined;
  }

  get rate(): number | undefined {
    return middle(this.#rates);
  }

  get busy(): number | undefined {
    return middle(this.#busy);
  }

  /** The ratio to another program, round by round. */
  ratioTo(base: Cell | undefined): Spread | undefined {
    if (!base || this.problem !== undefined || base.problem !== undefined) return undefined;
    return ratio(this.rounds, base.rounds);
  }
}

/** All cells of one kind of prefix. */
export class Results {
  readonly #cells = new Map<string, Cell>();

  /** Returns the cell of a row and a program, creating it if needed. */
  at(row: string, program: string): Cell {
    const key = `${row} ${program}`;
    let cell = this.#cells.get(key);
    if (!cell) this.#cells.set(key, cell = new Cell());
    return cell;
  }

  /** Returns the cell if it has a measurement or a problem. */
  find(row: string, program: string): Cell | undefined {
    const cell = this.#cells.get(`${row} ${program}`);
    return cell && (cell.problem !== undefined || cell.rounds.size > 0) ? cell : undefined;
  }
}

/** Whether a target was met; `text` is like "0.64, target 0.50: missed". */
export interface TargetResult {
  readonly target: Target;
  readonly met: boolean;
  readonly text: string;
}

/** Checks one target; undefined if the row was not measured. A missing figure misses its target. */
export function checkTarget(
  target: Target,
  results: Results,
  peers: readonly string[],
  base: string,
): TargetResult | undefined {
  const cell = results.find(target.row, target.program);
  if (!cell) return undefined;
  const figure = figureOf(target, cell, results, peers, base);
  if (!figure) return undefined;
  // Compared as printed: 1.004 is 1.00.
  const shown = figure.value?.toFixed(target.of === "figure" ? 1 : 2);
  const limit = target.of === "figure" ? String(target.limit) : target.limit.toFixed(2);
  const met = shown !== undefined && Number(shown) <= target.limit;
  const text = `${shown ?? "no figure"}${figure.than}, target ${limit}: ${met ? "met" : "missed"}`;
  return { target, met, text };
}

function figureOf(
  target: Target,
  cell: Cell,
  results: Results,
  peers: readonly string[],
  base: string,
): { value: number | undefined; than: string } | undefined {
  if (cell.value === undefined) return { value: undefined, than: ` (${cell.problem})` };
  if (target.of === "figure") return { value: cell.value, than: "" };
  const other = target.of === "hitch" ? base : bestOf(target.row, results, peers);
  const ratio = other && cell.ratioTo(results.find(target.row, other));
  if (!ratio) return undefined;
  return { value: ratio.median, than: target.of === "hitch" ? "" : ` of ${other}` };
}

/** Returns the program with the smallest median. */
function bestOf(row: string, results: Results, programs: readonly string[]): string | undefined {
  let best: { name: string; value: number } | undefined;
  for (const name of programs) {
    const value = results.find(row, name)?.value;
    if (value !== undefined && !(best && best.value <= value)) best = { name, value };
  }
  return best?.name;
}

function middle(values: readonly number[]): number | undefined {
  return values.length > 0 ? median(values) : undefined;
}
