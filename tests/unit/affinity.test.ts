import { test } from "node:test";
import assert from "node:assert/strict";
import type { LogEntry } from "../../src/base/log_entry.ts";
import { Affinity } from "../../src/master/listeners/affinity.ts";
import { LoadSkew } from "../../src/master/listeners/load_skew.ts";
import type { BackendTls, Config } from "../../src/options/config.ts";
import { SO_DETACH_REUSEPORT_BPF } from "../../src/os/constants.ts";
import { SO_ATTACH_REUSEPORT_CBPF } from "../../src/os/constants.ts";
import type { Libc } from "../../src/os/libc.ts";
import type { AffinityRule } from "../../src/system/affinity.ts";
import type { Capabilities } from "../../src/runtime/capabilities.ts";
import { HandClock } from "../support/hand_clock.ts";

const calls = { [SO_ATTACH_REUSEPORT_CBPF]: "attach", [SO_DETACH_REUSEPORT_BPF]: "detach" };

function made({ ticketKeys = false, adoptSockets = true, isRefused = false } = {}) {
  const clock = new HandClock();
  const done: string[] = [];
  const rules: AffinityRule[] = [];
  const entries: LogEntry[] = [];
  const libc = {
    setsockopt(fd: number, _level: number, option: keyof typeof calls) {
      done.push(`${calls[option]} ${fd}`);
      return isRefused ? -1 : 0;
    },
    addressOf: () => 0n,
    errno: () => 1,
  } as unknown as Libc;
  const capabilities = { ticketKeys, adoptSockets } as Capabilities;
  const affinity = new Affinity({ libc, capabilities }, {
    log: (entry) => entries.push(entry),
    groups: () => adoptSockets ? [[10, 11], [20, 21]] : [],
    route: (rule) => {
      done.push(rule ? `route to ${rule.sockets}` : "route freely");
      if (rule) rules.push(rule);
    },
  }, new LoadSkew(clock));
  /** Ten seconds in which the second of two workers gets all connections. */
  const overload = (isServing = true) => {
    for (let second = 0; second <= 10; second++) {
      affinity.check([0, 100 * second].map((accepted, i) => ({
        number: i + 1,
        isServing,
        accepted,
      })));
      clock.advance(1000);
    }
  };
  return { affinity, done, rules, entries, overload };
}

function plan(affinity: "auto" | "on" | "off", workers = 2, more: object = { tickets: true }) {
  return { workers, sessions: { affinity, ...more } } as Pick<Config, "sessions" | "workers">;
}

test("auto is for several workers without common ticket keys, on for all", () => {
  const attached = ["attach 10", "attach 20"];
  const detached = ["detach 10", "detach 20"];
  const cases = [
    [plan("auto"), false, attached],
    [plan("auto"), true, detached],
    [plan("on"), true, attached],
    [plan("off"), false, detached],
    [plan("on", 1), false, detached],
    [plan("auto", 2, { tickets: false }), false, detached],
    [plan("on", 2, { tickets: false }), false, attached],
    [{ ...plan("auto"), backendTls: {} as BackendTls }, false, detached],
  ] as const;
  for (const [wanted, ticketKeys, expected] of cases) {
    const { affinity, done } = made({ ticketKeys });
    affinity.use(wanted);
    assert.deepEqual(done, expected, JSON.stringify(wanted));
  }
});

test("workers that bind their own sockets get a rule, the same for all", () => {
  const { affinity, done, rules } = made({ adoptSockets: false });
  affinity.use(plan("auto", 3));
  affinity.use(plan("off", 3));
  affinity.use(plan("auto", 3));
  assert.deepEqual(done, ["route to 3", "route freely", "route to 3"]);
  assert.equal(rules[0]!.multiplier % 2, 1);
  assert.deepEqual(rules[0], rules[1]);
});

test("auto ends once when it overloads a worker, logs that, and starts again with a reload", () => {
  const { affinity, done, entries, overload } = made();
  affinity.use(plan("auto"));
  done.length = 0;
  overload();
  overload();
  assert.deepEqual(done, ["detach 10", "detach 20", "route freely"]);
  assert.deepEqual(entries.map(({ event, facts }) => [event, facts]), [
    ["affinity-ended", { worker: 2, percent: 100, connections: 1000 }],
  ]);
  done.length = 0;
  affinity.use(plan("auto"));
  assert.deepEqual(done, ["attach 10", "attach 20"]);
  overload();
  assert.equal(entries.length, 2);
});

test("on stays, and so does auto while a worker is unavailable", () => {
  for (const [wanted, isServing] of [["on", true], ["auto", false]] as const) {
    const { affinity, entries, overload } = made();
    affinity.use(plan(wanted));
    overload(isServing);
    assert.deepEqual(entries, []);
  }
});

test("if the kernel refuses, one line is logged, and everything is detached", () => {
  const { affinity, done, entries, overload } = made({ isRefused: true });
  affinity.use(plan("auto"));
  assert.deepEqual(done, ["attach 10", "detach 10", "detach 20"]);
  overload();
  assert.deepEqual(entries.map(({ level, event }) => [level, event]), [["warn", "warning"]]);
  assert.match(entries[0]!.message, /^--affinity: .*--affinity=off/);
});
