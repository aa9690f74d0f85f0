import { test } from "node:test";
import assert from "node:assert/strict";
import type { StapleCommand } from "../../src/ocsp/staples.ts";
import type { ProcessExit } from "../../src/control/child_process.ts";
import type { OcspCommand, OcspEvent } from "../../src/ocsp/messages.ts";
import { OcspHelper, type OcspProcess, type OcspWork } from "../../src/ocsp/ocsp_master.ts";
import { HandClock } from "../support/hand_clock.ts";

class FakeProcess implements OcspProcess {
  onEvent: (report: OcspEvent) => void = () => {};
  onExit: (exit: ProcessExit) => void = () => {};
  readonly pid = 1;
  readonly commands: OcspCommand["type"][] = [];
  readonly signals: string[] = [];

  send(command: OcspCommand): void {
    this.commands.push(command.type);
  }

  kill(signal: string): void {
    this.signals.push(signal);
  }
}

const certificate = { certificate: 0, path: "/a.pem", chain: "", verify: false };
const work: OcspWork = {
  settings: {
    directory: "/none",
    connectTimeout: 4,
    responseTimeout: 10,
    refreshInterval: 1800,
    logLevel: 1,
  },
  certificates: [certificate, { ...certificate, certificate: 1 }],
};
const staple: StapleCommand = { type: "staple", certificate: 1, response: "AAAA" };
const crash: ProcessExit = { code: null, signal: "SIGKILL" };

function helped() {
  const clock = new HandClock();
  const processes: FakeProcess[] = [];
  const staples: StapleCommand[] = [];
  const lines: string[] = [];
  let isRefused = false;
  const helper = new OcspHelper(
    (certificates) => {
      if (isRefused) throw new Error("fork failed");
      assert.equal(certificates, 2);
      processes.push(new FakeProcess());
      return processes.at(-1)!;
    },
    { staple: (each) => staples.push(each), log: ({ message }) => lines.push(message) },
    clock,
  );
  return { clock, helper, processes, staples, lines, refuse: (no: boolean) => isRefused = no };
}

test("the helper gets its settings and then every certificate", () => {
  const { helper, processes } = helped();
  helper.replace(work, []);
  assert.deepEqual(processes[0]!.commands, ["start", "certificate", "certificate"]);
});

test("staples and log entries are passed on, and staples are kept for later workers", () => {
  const { helper, processes, staples, lines } = helped();
  helper.replace(work, []);
  processes[0]!.onEvent(staple);
  const entry = { level: "warn", event: "ocsp-failed", message: "no answer", facts: {} } as const;
  processes[0]!.onEvent({ type: "log", entry });
  assert.deepEqual(staples, [staple]);
  assert.deepEqual([...helper.staples.values()], [staple]);
  assert.deepEqual(lines, ["no answer"]);
});

test("a helper that exits is restarted after a minute, with the same work", () => {
  const { clock, helper, processes, lines, refuse } = helped();
  helper.replace(work, []);
  processes[0]!.onExit(crash);
  assert.deepEqual(lines, ["the OCSP helper ended (signal SIGKILL); restarting it in 60 s"]);
  clock.advance(59_999);
  assert.equal(processes.length, 1);
  refuse(true);
  clock.advance(1);
  assert.match(lines[1]!, /cannot be started \(fork failed\); restarting it in 60 s/);
  refuse(false);
  clock.advance(60_000);
  assert.deepEqual(processes[1]!.commands, ["start", "certificate", "certificate"]);
});

test("a reload replaces the helper, and the old one is ignored from then on", () => {
  const { clock, helper, processes, staples, lines } = helped();
  helper.replace(work, []);
  processes[0]!.onEvent(staple);
  helper.replace({ ...work }, []);
  assert.deepEqual(processes[0]!.signals, ["SIGKILL"]);
  assert.equal(helper.staples.size, 0, "the places may be others now");
  processes[0]!.onEvent(staple);
  processes[0]!.onExit(crash);
  clock.advance(60_000);
  assert.equal(processes.length, 2);
  assert.equal(staples.length, 1);
  assert.deepEqual(lines, []);
});

test("a reload keeps the staples of unchanged certificates", () => {
  const { helper } = helped();
  helper.replace(work, []);
  helper.replace({ ...work }, [staple]);
  assert.deepEqual([...helper.staples], [[1, staple]]);
});

test("a reload while the helper is not running leaves one helper", () => {
  const { clock, helper, processes } = helped();
  helper.replace(work, []);
  processes[0]!.onExit(crash);
  helper.replace({ ...work }, []);
  clock.advance(60_000);
  assert.equal(processes.length, 2);
});

test("without certificates there is no helper", async () => {
  const { helper, processes } = helped();
  helper.replace({ ...work, certificates: [] }, []);
  assert.equal(processes.length, 0);
  await helper.stop();
});

test("a stopped helper is not restarted", async () => {
  const { clock, helper, processes, lines } = helped();
  helper.replace(work, []);
  const stopped = helper.stop();
  assert.deepEqual(processes[0]!.signals, ["SIGKILL"]);
  processes[0]!.onExit({ code: null, signal: "SIGKILL" });
  await stopped;
  clock.advance(120_000);
  assert.equal(processes.length, 1);
  assert.deepEqual(lines, []);
});
