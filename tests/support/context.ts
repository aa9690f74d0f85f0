/** The definition of a behaviour, and the context it runs in. */
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Backend, startBackend, startEcho } from "./backend.ts";
import type { Certificates } from "./certificates.ts";
import { type ClientOptions, openTls, openWire, type Wire } from "./client.ts";
import type { Peer } from "./commands.ts";
import { undocumented } from "./documented_events.ts";
import type { Endpoint } from "./endpoints.ts";
import { launchStud, type StartOptions, type Stud } from "./stud.ts";
import type { Target } from "./target.ts";

/** One promise of the program; the name completes "stud …" or states a fact. */
export interface Behaviour {
  readonly name: string;
  /** Programs that it needs. */
  readonly needs?: readonly Peer[];
  /** Whether it applies to a target. */
  readonly appliesTo?: (target: Target) => boolean;
  /** It measures time or memory, so nothing else may run at the same time. */
  readonly alone?: boolean;
  /** It mostly waits for a time limit, so it can run beside others at little cost. */
  readonly waits?: boolean;
  /**
   * It depends on how the program starts itself, so it also runs from source. All others run on the
   * built programs only, which contain the same code.
   */
  readonly fromSource?: boolean;
  /** Its code is the same in all builds, so that they take turns. */
  readonly shared?: boolean;
  run(context: Context): Promise<void>;
}

/** Characters of stderr that are shown when a behaviour fails. */
const STDERR_SHOWN = 4_000;

/** Starts processes and sockets for one behaviour and cleans them up. */
export class Context {
  readonly target: Target;
  readonly certificates: Certificates;
  readonly #cleanups: (() => unknown)[] = [];
  readonly #studs: Stud[] = [];

  constructor(target: Target, certificates: Certificates) {
    this.target = target;
    this.certificates = certificates;
  }

  /** Starts stud and waits until it is ready; with the localhost certificate unless a PEM file is given. */
  async stud(args: readonly string[], options: StartOptions): Promise<Stud> {
    const stud = await this.launch(args, options);
    await stud.waitForLog((line) => line.event === "ready", "stud is ready");
    stud.workers();
    return stud;
  }

  /** Like `stud`, but does not wait until it is ready. */
  async launch(args: readonly string[], options: StartOptions): Promise<Stud> {
    const isGiven = options.exact || args.some((word) => word.endsWith(".pem"));
    const pem = isGiven ? [] : [this.certificates.localhost];
    const stud = await launchStud(this.target, [...args, ...pem], options);
    this.#studs.push(stud);
    this.after(() => stud.destroy());
    return stud;
  }

  /** The same context for a target that is started in another way. */
  like(target: Target): Context {
    const other = new Context(target, this.certificates);
    this.after(() => other.cleanUp());
    return other;
  }

  /** A TLS client; see `openTls`. */
  async tls(endpoint: Endpoint, options?: ClientOptions): Promise<TLSSocket> {
    const socket = await openTls(endpoint, options);
    this.after(() => socket.destroy());
    return socket;
  }

  /** A wire for a TLS client. */
  async wire(endpoint: Endpoint): Promise<Wire> {
    const wire = await openWire(endpoint);
    this.after(() => wire.close());
    return wire;
  }

  async echo(): Promise<Backend> {
    return this.#started(await startEcho());
  }

  async backend(handler?: (socket: Socket) => void): Promise<Backend> {
    return this.#started(await startBackend(handler));
  }

  /** Runs after the behaviour, whatever its result; the last one first. */
  after(cleanup: () => unknown): void {
    this.#cleanups.push(cleanup);
  }

  async cleanUp(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }

  /** The last lines that every stud of this behaviour wrote to stderr. */
  stderr(): string {
    return this.#studs
      .map((stud) => `stderr of stud ${stud.pid}:\n${stud.stderr.slice(-STDERR_SHOWN)}`)
      .join("\n");
  }

  /** Internal errors of the program, which no peer may ever cause. */
  internalErrors(): string[] {
    return this.#studs.flatMap((stud) => stud.logs)
      .filter((line) => line.event === "internal-error" || line.source === "internal")
      .map((line) => line.message);
  }

  /** What the program logged and docs/events.md does not have. */
  undocumentedEvents(): string[] {
    return undocumented(this.#studs.flatMap(({ logs }) => logs));
  }

  #started(backend: Backend): Backend {
    this.after(() => backend.close());
    return backend;
  }
}
