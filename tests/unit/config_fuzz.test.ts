import assert from "node:assert/strict";
import { test } from "node:test";
import { defaultConfig } from "../../src/options/default_config.ts";
import { defaultSettings, namesOf, rows } from "../../src/options/table.ts";
import { deno, node, problemsOf } from "../support/parse.ts";

const dialects = ["stud", "hitch"] as const;

/** Pseudorandom numbers, the same in every run (mulberry32). */
class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  below(limit: number): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return Math.floor((((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296) * limit);
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  many<T>(max: number, make: () => T): T[] {
    return Array.from({ length: this.below(max + 1) }, make);
  }
}

const names = rows.flatMap(([name]) => [...namesOf(name, "stud"), ...namesOf(name, "hitch")]);
const letters = rows.flatMap(([, option]) => option.short ?? []);
const values = [
  ...["on", "off", "auto", "none", "required", "0", "1", "-1", "99999999999999999999", "", "443"],
  ...["[*]:443", "*,1", "[::1]:https+/a.pem", "/run/x", "@y", "systemd:z", "TLSv1.2", "TLSv1.3"],
  ...["h2,http/1.1", "10.0.0.0/8", "a b", "é\u0085\u2028", "\u0000", "x".repeat(300), "ssl,cn"],
];
const marks = [
  "{",
  "}",
  "=",
  '"',
  "#",
  "\n",
  ";",
  ",",
  "\\",
  "'",
  " ",
  "\r",
  "\t",
  "\ufeff",
  "\ud800",
];

const samples = [
  ...dialects.map((dialect) => defaultConfig(defaultSettings(dialect), dialect)),
  'frontend = { host = "*" port = "443" pem-file = { cert = "a" private-key = "b" } }\nworkers = 4',
  "frontend = *,443\nbackend = [::1]:80\nquiet = on # x\npem-file = 'a'\nwrite-ip = on\n",
];

/** True for a configuration, false for errors; `problemsOf` asserts that there is no other result. */
function read(argv: readonly string[], text: string, random: Random): boolean {
  const files = { F: text, "-": text };
  const setting = { dialect: random.pick(dialects), build: random.pick([node, deno]), files };
  return problemsOf(argv, setting).length === 0;
}

/** Both results must occur, or the inputs prove nothing. */
function assertBoth(results: readonly boolean[]): void {
  assert.deepEqual(new Set(results), new Set([true, false]));
}

function mutated(text: string, random: Random): string {
  let changed = text;
  for (const _ of random.many(6, () => 0)) {
    const at = random.below(changed.length + 1);
    const cut = random.pick([0, 0, 1, 3, 40]);
    const added = random.pick([random.pick(marks), random.pick(values), random.pick(names), ""]);
    changed = changed.slice(0, at) + added + changed.slice(at + cut);
  }
  return changed;
}

test("any mix of keys, values and marks gives a configuration or errors of one line each", () => {
  const random = new Random(1);
  assertBoth(Array.from({ length: 1500 }, () => {
    const block = () => random.pick([random.pick(names), random.pick(values), random.pick(marks)]);
    const line = () => `${random.pick(names)} = ${random.pick(['"', ""])}${random.pick(values)}`;
    const text = random.many(8, () => random.pick([block(), `${line()}"\n`, `${line()}\n`]));
    return read(["--config=F", "a.pem"], text.join(random.pick(["", " "])), random);
  }));
});

test("so does any change to a valid file", () => {
  const random = new Random(2);
  assertBoth(Array.from({ length: 600 }, () => {
    return read(["--config", "F", "a.pem"], mutated(random.pick(samples), random), random);
  }));
});

test("so do random bytes", () => {
  const random = new Random(3);
  assertBoth(Array.from({ length: 1200 }, () => {
    const bytes = Uint8Array.from(random.many(200, () => random.below(256)));
    const text = random.pick([new TextDecoder().decode(bytes), String.fromCharCode(...bytes)]);
    const before = random.pick(["", "workers = 1 # "]);
    return read(["--config=-", "a.pem"], before + text, random);
  }));
});

test("so does any command line", () => {
  const random = new Random(4);
  assertBoth(Array.from({ length: 2000 }, () => {
    const word = () =>
      random.pick([
        `--${random.pick(names)}=${random.pick(values)}`,
        `--${random.pick(names).slice(0, random.below(20))}`,
        `-${random.pick(letters)}${random.pick(values)}`,
        `-${random.pick(letters)}${random.pick(letters)}`,
        random.pick(values),
        random.pick(marks),
        "--config=F",
        "--compat=hitch",
      ]);
    return read(random.many(7, word), random.pick(samples), random);
  }));
});
