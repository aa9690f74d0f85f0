import process from "node:process";
import { systemClock } from "../base/clock.ts";
import { eventWriter, type FrameWriter } from "../control/frame_writer.ts";
import { type Helper, runHelper } from "../control/helper.ts";
import { reasonOf } from "../base/errors.ts";
import { internalError } from "../log/internal_error.ts";
import type { EventName } from "../base/events.ts";
import type { LogEntry, LogLevel } from "../base/log_entry.ts";
import { LogRateLimiter } from "../log/rate_limiter.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Datagrams } from "../runtime/datagrams.ts";
import type { IpEndpoint } from "../os/endpoint.ts";
import { dropPrivileges } from "../system/drop_privileges.ts";
import { PEERS_SOCKET_FD } from "./command_line.ts";
import { isFrom, PacketOpener, PacketSealer, type Refusal } from "./packet.ts";
import type { PeersCommand, PeerSession, PeersEvent, PeersStart } from "./peers_messages.ts";
import { Rate } from "./rate.ts";

/**
 * Maximum number of sessions sent and of packets opened per second; one of an unknown sender takes
 * 30 µs.
 */
const MAX_PER_SECOND = 10_000;
/** Interval in which repeated drops are counted, after the first one is logged. */
const WINDOW_MS = 60_000;

/** Why a packet or a session is dropped, for the log. */
const REASONS: Record<Refusal | "rate", string> = {
  size: "it is not a stud packet",
  version: "it has another version, or is not a stud packet",
  stale: "it is too old, or a clock is wrong; compare the clocks of both machines",
  replayed: "it was received before",
  unverified: "its sender has another --ticket-secret-file, or it was changed in transit",
  malformed: "its sender knows the secret, but it holds no session; compare the versions",
  rate: "too many arrive",
};

/**
 * Runs this process as the helper that exchanges sessions with other machines, without privileges.
 * It exits when its standard input ends, which means that the master has exited.
 */
export function runPeers(runtime: Runtime): void {
  runHelper(new PeersHelper(runtime));
}

class PeersHelper implements Helper<PeersCommand> {
  private readonly runtime: Runtime;
  readonly events: FrameWriter;
  private readonly rateLimiter = new LogRateLimiter(
    (entry) => this.sendLog(entry),
    () => 1,
    systemClock,
    {
      intervalMs: WINDOW_MS,
      burst: 1,
    },
  );
  private readonly incoming = new Rate(MAX_PER_SECOND);
  private readonly outgoing = new Rate(MAX_PER_SECOND);
  private peers: readonly IpEndpoint[] = [];
  /** These are absent until it has started. */
  private sealer: PacketSealer | undefined;
  private opener: PacketOpener | undefined;
  private datagrams: Datagrams | undefined;

  constructor(runtime: Runtime) {
    this.runtime = runtime;
    this.events = eventWriter(runtime.libc);
  }

  handle(command: PeersCommand): void {
    if (command.type === "start") this.start(command);
    else this.send(command);
  }

  internalError(error: unknown): void {
    const { level, event, message, facts } = internalError(error);
    this.log(level, event, message, facts);
  }

  private start({ key, family, peers, privileges }: PeersStart): void {
    const { runtime } = this;
    this.peers = peers;
    try {
      this.datagrams = runtime.openDatagrams(PEERS_SOCKET_FD, family, {
        received: (bytes) => this.received(bytes),
        failed: ({ code, message }) =>
          this.log("warn", "session-peer-failed", `a packet was not sent: ${message}`, { code }),
      });
      dropPrivileges(runtime.libc, privileges);
    } catch (error) {
      this.log("error", "session-peer-failed", `the helper cannot start: ${reasonOf(error)}`, {});
      return this.events.flush(() => process.exit(1));
    }
    const now = () => Date.now() / 1000;
    this.sealer = new PacketSealer(Buffer.from(key, "base64"), now);
    this.opener = new PacketOpener(Buffer.from(key, "base64"), now);
  }

  private send({ policy, id, session, seconds }: PeerSession): void {
    if (!this.sealer || this.peers.length === 0) return;
    if (!this.outgoing.take()) return this.drop("a session was not sent", "rate", REASONS.rate);
    const bytes = (text: string) => Buffer.from(text, "base64");
    const packet = this.sealer.seal({
      ...{ policy: bytes(policy), id: bytes(id), session: bytes(session), seconds },
    });
    if (!packet) {
      return this.drop("a session was not sent", "size", "it is too large for a packet");
    }
    for (const peer of this.peers) this.datagrams!.send(packet, peer);
  }

  private received(bytes: Uint8Array): void {
    // A multicast group returns our own packets.
    if (!this.opener || isFrom(this.sealer!.sender, bytes)) return;
    const opened = this.incoming.take() ? this.opener.open(bytes) : "rate";
    if (typeof opened === "string") {
      return this.drop("a packet was dropped", opened, REASONS[opened]);
    }
    const text = (part: Uint8Array) => Buffer.from(part).toString("base64");
    const { policy, id, session, seconds } = opened;
    const event: PeersEvent = {
      type: "session",
      ...{ policy: text(policy), id: text(id), session: text(session), seconds },
    };
    this.events.offer(event);
  }

  private drop(what: string, code: string, reason: string): void {
    this.log("warn", "session-dropped", `${what}: ${reason}`, { code });
  }

  private log(level: LogLevel, event: EventName, message: string, facts: LogEntry["facts"]): void {
    this.rateLimiter.log({ level, event, message: `session peers: ${message}`, facts });
  }

  private sendLog(entry: LogEntry): void {
    this.events.sendLog((dropped): PeersEvent => {
      const facts = { ...entry.facts, ...(dropped ? { dropped } : {}) };
      return { type: "log", entry: { ...entry, facts } };
    });
  }
}
