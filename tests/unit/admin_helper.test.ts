/** The master's end of the admin endpoint's helper. */
import { test } from "node:test";
import assert from "node:assert/strict";
import {
  AdminHelper,
  type AdminProcess,
  type AdminService,
  type AdminWork,
} from "../../src/admin/admin_helper.ts";
import {
  type AdminCommand,
  type AdminEvent,
  MAX_ACTIONS,
  parseAdminEvent,
} from "../../src/admin/messages.ts";
import type { ProcessExit } from "../../src/control/child_process.ts";
import type { ReloadStatus, Status } from "../../src/status/status.ts";
import { HandClock } from "../support/hand_clock.ts";

class FakeProcess implements AdminProcess {
  onEvent: (event: AdminEvent) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  readonly commands: AdminCommand[] = [];
  isKilled = false;

  offer(command: AdminCommand): boolean {
    this.commands.push(command);
    return true;
  }

  kill(): void {
    if (this.isKilled) return;
    this.isKilled = true;
    this.onExit({ code: null, signal: "SIGKILL" });
  }

  types(): string[] {
    return this.commands.map(({ type }) => type);
  }
}

const work: AdminWork = { sockets: [{ fd: 9, isUnix: false }], access: {} };
const reloaded: ReloadStatus = {
  ...{ result: "waiting", cause: "x", finishedAt: "", seconds: 0, problems: ["it waits"] },
};

function helped(service: Partial<AdminService> = {}) {
  const clock = new HandClock();
  const processes: FakeProcess[] = [];
  const lines: string[] = [];
  const state = { isRefused: false, made: 0 };
  const helper = new AdminHelper(
    () => {
      if (state.isRefused) throw new Error("fork failed");
      processes.push(new FakeProcess());
      return processes.at(-1)!;
    },
    {
      status: () => ({ time: String(++state.made) }) as Status,
      reload: () => Promise.resolve(reloaded),
      drain: () => true,
      setLogLevel: () => {},
      ...service,
    },
    ({ message }) => lines.push(message),
    clock,
  );
  return { helper, clock, processes, lines, state };
}

const settled = () => new Promise((resolve) => setTimeout(resolve));

test("other access reaches the running helper; other sockets need another one", async () => {
  const { helper, processes } = helped();
  helper.use(work);
  helper.use({ ...work, access: { host: "a.example" } });
  assert.equal(processes.length, 1);
  assert.deepEqual(processes[0]!.types(), ["start", "access"]);
  helper.use({ ...work, sockets: [{ fd: 10, isUnix: true }] });
  assert.equal(processes.length, 2);
  assert.deepEqual(processes[0]!.types(), ["start", "access", "finish"]);
  const finished = helper.finish();
  processes[1]!.onExit({ code: 0, signal: null });
  await finished;
  assert.deepEqual(processes[1]!.types(), ["start", "finish"]);
});

test("a helper that ends or cannot be started is replaced after growing pauses", () => {
  const { helper, clock, processes, lines, state } = helped();
  helper.use(work);
  processes[0]!.kill();
  assert.match(lines[0]!, /ended \(signal SIGKILL\); restarting it in 0\.1 s/);
  state.isRefused = true;
  clock.advance(100);
  assert.match(lines[1]!, /cannot be started \(fork failed\); restarting it in 0\.2 s/);
  state.isRefused = false;
  clock.advance(200);
  assert.equal(processes.length, 2);
  assert.deepEqual(processes[1]!.types(), ["start"]);
});

test("a helper that is silent for fifteen checks is killed", () => {
  const { helper, processes } = helped();
  helper.use(work);
  for (let i = 0; i < 14; i++) helper.check();
  processes[0]!.onEvent({ type: "alive" });
  for (let i = 0; i < 14; i++) helper.check();
  assert.equal(processes[0]!.isKilled, false);
  helper.check();
  assert.equal(processes[0]!.isKilled, true);
});

test("however often it asks, a status is made every 200 ms at most", () => {
  const { helper, clock, processes, state } = helped();
  helper.use(work);
  for (let i = 0; i < 1000; i++) processes[0]!.onEvent({ type: "status-wanted" });
  clock.advance(1000);
  for (let i = 0; i < 1000; i++) processes[0]!.onEvent({ type: "status-wanted" });
  assert.ok(state.made <= 3, String(state.made));
  assert.ok(processes[0]!.types().includes("status"));
});

test("actions are answered, a fault of the service too, and their number is bounded", async () => {
  const { helper, processes, lines } = helped({
    drain() {
      throw new Error("roses");
    },
  });
  helper.use(work);
  const [process] = processes as [FakeProcess];
  process.onEvent({ type: "action", number: 1, action: "reload" });
  process.onEvent({ type: "action", number: 2, action: "drain" });
  process.onEvent({ type: "action", number: 3, action: "log-level", level: 2 });
  await settled();
  const answers = process.commands.flatMap((each) => each.type === "answer" ? [each] : []);
  assert.deepEqual(answers.map(({ number, code }) => [number, code]).sort(), [
    [1, 202],
    [2, 500],
    [3, 200],
  ]);
  assert.match(lines.join(), /roses/);

  const never = helped({ reload: () => new Promise(() => {}) });
  never.helper.use(work);
  const [busy] = never.processes as [FakeProcess];
  for (let number = 0; number <= MAX_ACTIONS; number++) {
    busy.onEvent({ type: "action", number, action: "reload" });
  }
  await settled();
  const refused = busy.commands.filter((each) => each.type === "answer");
  assert.deepEqual(refused.map((each) => [each.number, each.code]), [[MAX_ACTIONS, 503]]);
});

test("only valid events are accepted from the helper", () => {
  const valid = [
    { type: "status-wanted" },
    { type: "alive" },
    { type: "action", number: 0, action: "reload" },
    { type: "action", number: 7, action: "log-level", level: 0 },
  ];
  for (const event of valid) assert.deepEqual(parseAdminEvent({ ...event, more: 1 }), event);
  const invalid = [
    null,
    7,
    [],
    {},
    { type: "start" },
    { type: "action", action: "reload" },
    { type: "action", number: -1, action: "reload" },
    { type: "action", number: 1.5, action: "drain" },
    { type: "action", number: 1, action: "exit" },
    { type: "action", number: 1, action: "log-level", level: "2" },
    { type: "action", number: 1, action: "log-level", level: 3 },
    { type: "log", entry: { level: "info", event: "roses", message: "", facts: {} } },
  ];
  for (const event of invalid) assert.equal(parseAdminEvent(event), undefined);
});
