/**
 * The listening sockets. The master opens one SO_REUSEPORT socket for each address and worker slot
 * and keeps it open as long as it runs: the kernel spreads new connections over them, and the queue
 * of a worker that dies passes to its successor. All slots share a Unix socket, or a socket that
 * the service manager opened.
 */
import { lstatSync, unlinkSync } from "node:fs";
import { UsageError } from "../../base/errors.ts";
import type { Log } from "../../base/log_entry.ts";
import { isWildcard } from "../../os/ip.ts";
import { formatEndpoint } from "../../options/address.ts";
import { setOption } from "../../os/socket_options.ts";
import { listenerOptions } from "../../os/socket_options.ts";
import type { ListenerSettings } from "../../os/socket_options.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Libc } from "../../os/libc.ts";
import type { Endpoint, IpEndpoint } from "../../os/endpoint.ts";
import type { HeldAddress } from "./held_address.ts";
import { errorText } from "../../base/error_text.ts";
import { refuseNew, refuseNewUnix } from "../../os/listen_queue.ts";
import {
  assertFree,
  FOR_CLIENTS,
  isBeingReleased,
  listenAt,
  openBound,
  openUnix,
  type SocketPurpose,
} from "./sockets.ts";

/**
 * Maximum time to wait for workers whose master was killed, which accept what waits before they
 * close, in milliseconds.
 */
const RELEASE_LIMIT_MS = 2000;
const RELEASE_CHECK_MS = 20;

/** An address in a configuration. */
export interface Wanted {
  readonly endpoint: Endpoint;
  /** An IPv6 wildcard also accepts IPv4. */
  readonly dualStack: boolean;
  /** The descriptor, if the service manager opened it. */
  readonly activated?: number;
}

/**
 * What was opened for a configuration. Either {@link use} and then {@link keep} commit it, or
 * {@link drop} undoes it; none of them throws.
 */
export interface Claim {
  /** For each address the descriptors for slot 1, 2 …; empty where workers bind their own. */
  readonly fds: readonly (readonly number[])[];
  /**
   * Puts the configuration in use: applies its settings to all its sockets, and makes addresses
   * that it does not have refuse new connections. Returns the descriptors of these, whose queues
   * may not be empty.
   */
  use(): number[];
  /** Closes the addresses that the configuration does not have. */
  keep(): void;
  /** Closes what was opened and restores the settings of other sockets. */
  drop(): void;
}

interface Address extends HeldAddress {
  readonly fds: number[];
  /** Another master has it too and owns the file of a Unix socket. */
  isShared: boolean;
  /** It refuses new connections, and its file is removed. */
  isWithdrawn: boolean;
  /** Identifies the file of a Unix socket: another program may replace it. */
  file: string | undefined;
}

/** What a claim has done. */
interface Changes {
  /** Undo it. */
  readonly opened: (() => void)[];
  /** The descriptors that other ones have replaced. */
  readonly replaced: number[];
}

/** Opens, keeps and closes the listening sockets of the master. */
export class Listeners {
  private readonly libc: Libc;
  private readonly log: Log;
  private readonly adopt: boolean;
  private readonly purpose: SocketPurpose;
  private readonly addresses = new Map<string, Address>();
  /** The addresses of the configuration in use. */
  private wanted: ReadonlySet<string> = new Set();
  private settings: ListenerSettings | undefined;
  /** A predecessor has the inherited addresses too, until {@link takeOver}. */
  private isSharing: boolean;

  /** `inherited` are a predecessor's addresses, all of which are kept until {@link takeOver}. */
  constructor(
    { libc, capabilities }: {
      readonly libc: Libc;
      readonly capabilities: Pick<Runtime["capabilities"], "adoptSockets">;
    },
    log: Log,
    inherited: readonly HeldAddress[] = [],
    purpose = FOR_CLIENTS,
  ) {
    this.libc = libc;
    this.log = log;
    this.purpose = purpose;
    this.adopt = capabilities.adoptSockets;
    this.isSharing = inherited.length > 0;
    for (const address of inherited) {
      const key = formatEndpoint(address.endpoint);
      const fds = [...address.fds];
      const file = fileOf(address.endpoint);
      this.addresses.set(key, { ...address, fds, isShared: true, isWithdrawn: false, file });
    }
  }

  /**
   * The descriptors of each address with several sockets, in the order of their slots. Empty until
   * {@link takeOver} if a predecessor has the sockets too.
   */
  get groups(): readonly (readonly number[])[] {
    if (this.isSharing) return [];
    return [...this.addresses.values()].flatMap(({ endpoint, fds, isActivated }) =>
      endpoint.family === "unix" || isActivated || fds.length < 2 ? [] : [[...fds]]
    );
  }

  /** Whether a predecessor has the sockets too, until {@link takeOver}. */
  get sharesSockets(): boolean {
    return this.isSharing;
  }

  /** All addresses, for a successor. */
  get held(): readonly HeldAddress[] {
    return [...this.addresses.values()].map(({ endpoint, fds, isActivated }) => ({
      endpoint,
      fds: [...fds],
      isActivated,
    }));
  }

  /**
   * Ends sharing with the predecessor, and closes its addresses that the configuration does not
   * have.
   */
  takeOver(): void {
    this.isSharing = false;
    for (const address of this.addresses.values()) address.isShared = false;
    this.applySettings();
    this.closeAllBut(this.wanted);
  }

  /**
   * Applies the settings of the configuration in use to all its sockets. Workers of another
   * configuration, which was given up, may have changed them.
   */
  applySettings(): void {
    const { libc, settings } = this;
    // The predecessor's settings still apply.
    if (!settings || this.isSharing) return;
    for (const key of this.wanted) {
      const address = this.addresses.get(key);
      for (const fd of new Set(address?.fds)) {
        setOptions(libc, fd, address!.endpoint, settings);
        libc.listen(fd, settings.backlog);
      }
    }
  }

  /** Closes all addresses and leaves the files of Unix sockets to a successor. */
  handOver(): void {
    for (const address of this.addresses.values()) address.isShared = true;
    this.close();
  }

  /**
   * Waits until workers of a master that was killed have released the addresses that are to be
   * opened, or for two seconds.
   */
  async released(wanted: readonly Wanted[]): Promise<void> {
    const isAwaited = ({ endpoint, dualStack, activated }: Wanted) =>
      endpoint.family !== "unix" && activated === undefined &&
      !this.addresses.has(formatEndpoint(endpoint)) &&
      isBeingReleased(this.libc, endpoint, dualStack);
    const deadline = performance.now() + RELEASE_LIMIT_MS;
    while (wanted.some(isAwaited) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, RELEASE_CHECK_MS));
    }
  }

  /**
   * Opens the sockets that are missing for these addresses and slots. Throws a UsageError with all
   * problems; nothing has changed then.
   */
  claim(wanted: readonly Wanted[], slots: number, settings: ListenerSettings): Claim {
    const opened: (() => void)[] = [];
    const replaced: number[] = [];
    const undo = () => opened.splice(0).forEach((close) => close());
    const problems: string[] = [];
    const attempt = (step: () => void) => {
      try {
        step();
      } catch (error) {
        if (!(error instanceof UsageError)) {
          undo();
          throw error;
        }
        problems.push(error.message);
      }
    };
    // Before any is opened, since two of them can share a port: `*` and 127.0.0.1.
    for (const each of wanted) attempt(() => this.assertFree(each));
    if (problems.length === 0) {
      for (const each of wanted) {
        attempt(() => this.open(each, slots, settings, { opened, replaced }));
      }
    }
    if (problems.length > 0) {
      undo();
      throw new UsageError(problems);
    }
    const keys = new Set(wanted.map(({ endpoint }) => formatEndpoint(endpoint)));
    return {
      fds: wanted.map(({ endpoint }) => [...this.addresses.get(formatEndpoint(endpoint))!.fds]),
      use: () => {
        this.wanted = keys;
        this.settings = settings;
        this.applySettings();
        return this.withdrawAllBut(keys);
      },
      keep: () => {
        for (const fd of replaced) this.libc.close(fd);
        if (!this.isSharing) this.closeAllBut(keys);
      },
      drop: () => {
        undo();
        this.applySettings();
      },
    };
  }

  /**
   * Makes all addresses refuse new connections, except the service manager's, which outlive this
   * process. Returns their descriptors, whose queues may not be empty.
   */
  withdraw(): number[] {
    return this.withdrawAllBut(new Set());
  }

  /** Closes all addresses and removes the files of Unix sockets. */
  close(): void {
    this.closeAllBut(new Set());
  }

  /** Throws a UsageError if another program has the address. */
  private assertFree({ endpoint, dualStack, activated }: Wanted): void {
    if (endpoint.family === "unix" || activated !== undefined) return;
    if (this.addresses.has(formatEndpoint(endpoint)) || this.overlaps(endpoint)) return;
    assertFree(this.libc, endpoint, dualStack, this.purpose);
  }

  /** Whether a wildcard address that is held includes this one, or the reverse. */
  private overlaps(wanted: IpEndpoint): boolean {
    return [...this.addresses.values()].some(({ endpoint }) =>
      endpoint.family !== "unix" && endpoint.port === wanted.port &&
      (isWildcard(endpoint) || isWildcard(wanted))
    );
  }

  private open(
    { endpoint, dualStack, activated }: Wanted,
    slots: number,
    settings: ListenerSettings,
    { opened, replaced }: Changes,
  ): void {
    const key = formatEndpoint(endpoint);
    const known = this.addresses.get(key);
    const isActivated = activated !== undefined;
    const address = known ??
      { endpoint, fds: [], isActivated, isShared: false, isWithdrawn: false, file: undefined };
    if (!known) {
      this.addresses.set(key, address);
      opened.push(() => this.release(key));
    }
    if (!this.adopt) return;
    if (known && this.isLost(known)) replaced.push(...this.reopen(known, settings, opened));
    // Sockets of slots that no longer exist stay open: other workers serve their queues.
    while (address.fds.length < slots) {
      const [first] = address.fds;
      const isForAll = endpoint.family === "unix" || address.isActivated;
      if (isForAll && first !== undefined) {
        address.fds.push(first);
        continue;
      }
      const fd = activated ?? this.bind(endpoint, dualStack);
      address.fds.push(fd);
      setOptions(this.libc, fd, endpoint, settings);
      // Additional sockets of an address in service start to listen with their workers: if these
      // fail to start, no client is in the queue of a socket that is closed again.
      if (!known) {
        address.file = fileOf(endpoint);
        listenAt(this.libc, fd, endpoint, settings.backlog, this.purpose);
        continue;
      }
      opened.push(() => {
        address.fds.splice(address.fds.indexOf(fd), 1);
        this.libc.close(fd);
      });
    }
  }

  /** Whether clients cannot find a Unix socket any more, since its file was removed or replaced. */
  private isLost({ endpoint, file, isShared, isActivated }: Address): boolean {
    if (!this.purpose.reopens || isShared || isActivated) return false;
    return file !== undefined && fileOf(endpoint) !== file;
  }

  /** Opens a socket with a file again, and returns the descriptors that it replaces. */
  private reopen(
    address: Address,
    settings: ListenerSettings,
    opened: (() => void)[],
  ): readonly number[] {
    const { endpoint, fds, file } = address;
    const fd = this.bind(endpoint, false);
    const former = fds.splice(0, fds.length, fd);
    address.file = fileOf(endpoint);
    opened.push(() => {
      if (endpoint.family === "unix") this.removeFile(endpoint.path, address.file);
      fds.splice(0, fds.length, ...former);
      address.file = file;
      this.libc.close(fd);
    });
    listenAt(this.libc, fd, endpoint, settings.backlog, this.purpose);
    return former;
  }

  private bind(endpoint: Endpoint, dualStack: boolean): number {
    if (endpoint.family === "unix") return openUnix(this.libc, endpoint, this.purpose);
    return openBound(this.libc, endpoint, { shared: true, dualStack }, this.purpose);
  }

  private withdrawAllBut(keys: ReadonlySet<string>): number[] {
    return [...this.addresses].flatMap(([key, address]) => {
      if (keys.has(key) || address.isActivated || address.isShared) return [];
      this.withdrawAddress(address);
      return address.fds;
    });
  }

  private withdrawAddress(address: Address): void {
    const { endpoint, fds, isWithdrawn, file } = address;
    if (isWithdrawn) return;
    address.isWithdrawn = true;
    if (endpoint.family !== "unix") fds.forEach((fd) => refuseNew(this.libc, fd));
    // Without its file clients cannot find the socket; otherwise the socket itself must refuse
    // them.
    else if (fds.length > 0 && !this.removeFile(endpoint.path, file)) {
      refuseNewUnix(this.libc, fds[0]!);
    }
  }

  /** Whether the socket's file was removed, so that clients cannot find the socket. */
  private removeFile(path: string, file: string | undefined): boolean {
    try {
      // It may have become another program's.
      if (file === undefined || numberOf(path) !== file) return false;
      unlinkSync(path);
      return true;
    } catch (error) {
      const cause = errorText(error);
      const message =
        `${this.purpose.option}: cannot remove the socket ${path}, which is no longer served: ${cause}; ` +
        "remove it yourself";
      this.log({ level: "warn", event: "warning", message, facts: {} });
      return false;
    }
  }

  private closeAllBut(keys: ReadonlySet<string>): void {
    for (const key of [...this.addresses.keys()]) if (!keys.has(key)) this.release(key);
  }

  private release(key: string): void {
    const address = this.addresses.get(key);
    if (!address) return;
    this.addresses.delete(key);
    // The service manager keeps listening, and a later configuration may use the socket again.
    if (address.isActivated) return;
    // The file is removed first, so that no client finds a socket that is about to close.
    if (!address.isShared) this.withdrawAddress(address);
    for (const fd of new Set(address.fds)) this.libc.close(fd);
  }
}

/** Identifies the socket file of an address; undefined if there is none. */
function fileOf(endpoint: Endpoint): string | undefined {
  if (endpoint.family !== "unix" || endpoint.path.startsWith("@")) return undefined;
  try {
    return numberOf(endpoint.path);
  } catch {
    return undefined;
  }
}

/** Undefined if the path is not a socket. Throws the error of the system. */
function numberOf(path: string): string | undefined {
  // While a socket is open, the kernel keeps its file's number from being used again.
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat?.isSocket() ? `${stat.dev} ${stat.ino}` : undefined;
}

/** Sets the options of a TCP socket, which may be listening already. */
function setOptions(libc: Libc, fd: number, endpoint: Endpoint, settings: ListenerSettings): void {
  if (endpoint.family === "unix") return;
  for (const option of listenerOptions(settings)) setOption(libc, fd, option);
}
