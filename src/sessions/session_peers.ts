import { type Clock, systemClock } from "../base/clock.ts";
import type { Log } from "../base/log_entry.ts";
import { logChannelFaults } from "../log/channel_faults.ts";
import type { Libc } from "../os/libc.ts";
import { exitText } from "../control/exit_text.ts";
import { PEERS_ARGUMENT } from "./command_line.ts";
import { parsePeersEvent, type PeerSession } from "./peers_messages.ts";
import type { PeersCommand, PeersEvent } from "./peers_messages.ts";
import {
  type ChildRuntime,
  ControlledProcess,
  type ProcessExit,
} from "../control/child_process.ts";
import type { PeersPlan } from "./session_peers_plan.ts";
import { openUdp } from "./udp_socket.ts";

/** The helper's process, seen from the master. */
export type PeersProcess = Pick<
  ControlledProcess<PeersCommand, PeersEvent>,
  "onEvent" | "onExit" | "send" | "offer" | "kill"
>;

export interface PeersEvents {
  /** Another machine has sent it. */
  session(session: PeerSession): void;
  log: Log;
}

/** Without the helper, only resumption across machines fails. */
const RESTART_MS = 10_000;

/** A plan with its socket. */
interface Opened {
  readonly plan: PeersPlan;
  readonly fd: number;
}

/** Exchanges sessions with other machines through a helper process. */
export class SessionPeers {
  private readonly libc: Libc;
  private readonly spawn: (fd: number) => PeersProcess;
  private readonly events: PeersEvents;
  private readonly isSuccessor: boolean;
  private readonly clock: Clock;
  private current: Opened | undefined;
  private next: Opened | undefined;
  private process: PeersProcess | undefined;

  /**
   * `spawn` starts a process with this socket. It throws an Error if it cannot. A successor may use
   * the address of the process that it replaces.
   */
  constructor(
    libc: Libc,
    spawn: (fd: number) => PeersProcess,
    events: PeersEvents,
    { isSuccessor, clock = systemClock }: { isSuccessor: boolean; clock?: Clock },
  ) {
    this.libc = libc;
    this.spawn = spawn;
    this.events = events;
    this.isSuccessor = isSuccessor;
    this.clock = clock;
  }

  /**
   * Opens the socket of a plan; call `use` or `drop` next. Throws a UsageError and changes nothing
   * then.
   */
  open(plan: PeersPlan | undefined): void {
    const { current } = this;
    if (!plan) return this.drop();
    const isSame = current && socketOf(current.plan) === socketOf(plan);
    const isOurs = this.isSuccessor || addressOf(current?.plan) === addressOf(plan);
    const fd = isSame ? current.fd : openUdp(this.libc, plan, isOurs);
    this.next = { plan, fd };
  }

  /** Switches to the opened plan. */
  use(): void {
    const { current, next } = this;
    this.next = undefined;
    if (current && next && JSON.stringify(current.plan) === JSON.stringify(next.plan)) return;
    void this.stopHelper();
    this.current = next;
    if (current && current.fd !== next?.fd) this.libc.close(current.fd);
    if (next) this.start(next);
  }

  /** Closes what was opened. */
  drop(): void {
    if (this.next && this.next.fd !== this.current?.fd) this.libc.close(this.next.fd);
    this.next = undefined;
  }

  /** Sends a session of this machine to the others. */
  share(session: PeerSession): void {
    this.process?.offer(session);
  }

  /** Stops sharing. Resolves when the helper has exited. */
  async stop(): Promise<void> {
    this.drop();
    const { current } = this;
    this.current = undefined;
    if (current) this.libc.close(current.fd);
    await this.stopHelper();
  }

  /** Kills the helper, which has no state to lose. Resolves when it has exited. */
  private async stopHelper(): Promise<void> {
    const { process } = this;
    this.process = undefined;
    if (!process) return;
    process.onEvent = () => {};
    const gone = new Promise<void>((resolve) => process.onExit = () => resolve());
    process.kill("SIGKILL");
    await gone;
  }

  private start(opened: Opened): void {
    if (opened !== this.current) return;
    const { key, listen, peers, privileges } = opened.plan;
    let process: PeersProcess;
    try {
      process = this.spawn(opened.fd);
    } catch (error) {
      return this.restart(opened, `cannot be started (${(error as Error).message})`);
    }
    this.process = process;
    process.onEvent = (report) => {
      if (report.type === "log") this.events.log(report.entry);
      else this.events.session(report);
    };
    process.onExit = (exit: ProcessExit) => {
      this.process = undefined;
      this.restart(opened, `ended (${exitText(exit)})`);
    };
    const { family } = listen;
    process.send({
      type: "start",
      ...{ key, family, peers },
      ...(privileges ? { privileges } : {}),
    });
  }

  private restart(opened: Opened, what: string): void {
    this.events.log({
      level: "error",
      event: "session-peers-exited",
      message: `the session peers' helper ${what}; restarting it in ${RESTART_MS / 1000} s`,
      facts: {},
    });
    this.clock.after(RESTART_MS, () => this.start(opened));
  }
}

/** Starts the helper's process. Throws an Error if it cannot. */
export function spawnPeers(
  runtime: ChildRuntime,
  fd: number,
  log: Log,
): PeersProcess {
  return new ControlledProcess(runtime, {
    words: [PEERS_ARGUMENT],
    inherited: [fd],
    parse: parsePeersEvent,
    faults: logChannelFaults(log, { subject: "the session peers' helper", facts: {} }),
  });
}

/** Equal for plans with equal sockets. */
function socketOf({ listen, interface: index, ttl }: PeersPlan): string {
  return JSON.stringify([listen, index, ttl]);
}

function addressOf(plan: PeersPlan | undefined): string {
  return JSON.stringify(plan?.listen);
}
