import process from "node:process";
import { type Clock, systemClock } from "../base/clock.ts";
import { eventWriter, type FrameWriter } from "../control/frame_writer.ts";
import { type Helper, runHelper } from "../control/helper.ts";
import { reasonOf } from "../base/errors.ts";
import { internalError } from "../log/internal_error.ts";
import type { EventName } from "../base/events.ts";
import type { LogEntry, LogLevel } from "../base/log_entry.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { dropPrivileges } from "../system/drop_privileges.ts";
import { ResponseCache } from "./cache.ts";
import { fetchResponse, SilentResponderError } from "./fetch.ts";
import type {
  OcspCertificate,
  OcspCommand,
  OcspEvent,
  OcspSettings,
  OcspStart,
} from "./messages.ts";
import { createRequest } from "./request.ts";
import { checkResponse, type Validity, validityProblem } from "./response.ts";
import { type Outcome, Schedule } from "./schedule.ts";
import { readSubject, responderOf } from "./subject.ts";

/** Staples expire by the wall clock. */
const wallClock: Clock = { ...systemClock, now: () => Date.now() };

/**
 * Runs this process as the OCSP helper, without privileges: it reads the cache, asks responders and
 * sends staples to the master. It exits when its standard input ends, which means that the master
 * has exited. It does not return otherwise.
 */
export function runOcsp(runtime: Pick<Runtime, "libc">): void {
  runHelper(new OcspHelper(runtime));
}

class OcspHelper implements Helper<OcspCommand> {
  private readonly runtime: Pick<Runtime, "libc">;
  readonly events: FrameWriter;
  private readonly certificates = new Map<number, OcspCertificate>();
  /** The last message about each certificate, so that a lasting problem is logged once. */
  private readonly lastMessages = new Map<number, string>();
  private settings: OcspSettings | undefined;
  private cache: ResponseCache | undefined;
  private schedule: Schedule | undefined;
  /** Certificates are added one after the other, as fast as the master reads. */
  private intake: Promise<void> = Promise.resolve();

  constructor(runtime: Pick<Runtime, "libc">) {
    this.runtime = runtime;
    this.events = eventWriter(runtime.libc);
  }

  handle(command: OcspCommand): void {
    if (command.type === "start") return this.start(command);
    // Without a schedule the start has failed, and this process is about to exit.
    if (this.schedule) this.intake = this.intake.then(() => this.takeIn(command));
  }

  internalError(error: unknown): void {
    const { level, event, message, facts } = internalError(error);
    this.log(level, event, message, facts);
  }

  private start({ settings, ids }: OcspStart): void {
    this.settings = settings;
    if (ids) {
      try {
        // Without a chroot, since resolving names needs files.
        dropPrivileges(this.runtime.libc, { ...ids, chroot: "" });
      } catch (error) {
        const message = `the OCSP helper cannot become another user: ${reasonOf(error)}`;
        this.log("error", "ocsp-failed", message);
        return this.events.flush(() => process.exit(1));
      }
    }
    const { directory, refreshInterval } = settings;
    this.cache = new ResponseCache(directory);
    if (!this.cache.isWritable) {
      const message = `ocsp-dir '${directory}' is not writable for the configured user`;
      this.log("warn", "ocsp-dir", message, { directory });
    }
    this.schedule = new Schedule((number) => this.refresh(number), refreshInterval, wallClock);
  }

  private async takeIn(command: OcspCertificate): Promise<void> {
    const { certificate, chain } = command;
    try {
      const staple = this.loadCached(command) ?? command.staple;
      if (responderOf(chain) === undefined) {
        return this.logFor(command, "debug", "no OCSP responder URI found");
      }
      readSubject(chain);
      this.certificates.set(certificate, command);
      const isCurrent = staple && (staple.until === undefined || staple.until > Date.now());
      this.schedule!.add(certificate, isCurrent ? staple : undefined);
    } catch (error) {
      this.logFor(command, "warn", reasonOf(error));
    } finally {
      await new Promise<void>((emptied) => this.events.flush(emptied));
    }
  }

  /** Sends the cached response to the master, if it exists and can be served. */
  private loadCached(command: OcspCertificate): Validity | undefined {
    const response = this.cache!.load(command.path);
    if (!response) return undefined;
    let validity: Validity;
    try {
      validity = checkResponse(response, readSubject(command.chain), { verify: command.verify });
    } catch (error) {
      this.logFor(command, "warn", `the cached response is not used: ${reasonOf(error)}`);
      return undefined;
    }
    if (validityProblem(validity, Date.now())) return undefined;
    this.report(command.certificate, response, validity);
    this.logFor(command, "debug", "loaded cached OCSP staple");
    return validity;
  }

  private async refresh(number: number): Promise<Outcome> {
    const command = this.certificates.get(number)!;
    try {
      const subject = readSubject(command.chain);
      if (subject.expires <= Date.now()) {
        this.logFor(command, "debug", "the certificate has expired; its responder is not asked");
        return { type: "over" };
      }
      const request = createRequest(subject);
      const response = await fetchResponse(subject.responder!, request, this.settings!);
      const validity = checkResponse(response, subject, { verify: true });
      const problem = validityProblem(validity, Date.now());
      if (problem) throw new Error(problem);
      this.report(number, response, validity);
      const seconds = Math.round((this.schedule!.renewal(validity) - Date.now()) / 1000);
      this.logFor(
        command,
        "debug",
        `retrieved new staple; refresh scheduled in ${seconds} seconds`,
      );
      this.save(command, response);
      return { type: "fresh", ...untilOf(validity) };
    } catch (error) {
      this.logFor(command, "warn", `no new staple: ${reasonOf(error)}`);
      return { type: error instanceof SilentResponderError ? "silent" : "failed" };
    }
  }

  /** Saves a staple. One that cannot be saved is served anyway. */
  private save(command: OcspCertificate, response: Uint8Array): void {
    if (!this.cache!.isWritable) return;
    try {
      this.cache!.save(command.path, response);
    } catch (error) {
      this.logFor(command, "warn", `the staple cannot be saved: ${reasonOf(error)}`);
    }
  }

  /** Sends a staple to the master. Throws an Error if the master does not read. */
  private report(certificate: number, response: Uint8Array, validity: Validity): void {
    const staple: OcspEvent = {
      type: "staple",
      certificate,
      response: Buffer.from(response).toString("base64"),
      from: validity.from,
      ...untilOf(validity),
    };
    if (!this.events.send(staple)) throw new Error("the master does not keep up with the events");
  }

  private logFor(command: OcspCertificate, level: LogLevel, text: string): void {
    const { certificate, path } = command;
    if (level !== "debug" && this.lastMessages.get(certificate) === text) return;
    this.lastMessages.set(certificate, text);
    this.log(level, level === "debug" ? "ocsp-staple" : "ocsp-failed", `cert ${path}: ${text}`, {
      certificate: path,
    });
  }

  private log(
    level: LogLevel,
    event: EventName,
    message: string,
    facts: LogEntry["facts"] = {},
  ): void {
    if (level === "debug" && this.settings?.logLevel !== 2) return;
    const entry = { level, event, message: `OCSP: ${message}`, facts };
    this.events.sendLog((dropped): OcspEvent => ({
      type: "log",
      entry: dropped ? { ...entry, facts: { ...facts, dropped } } : entry,
    }));
  }
}

function untilOf({ until }: Validity): { until?: number } {
  return until === undefined ? {} : { until };
}
