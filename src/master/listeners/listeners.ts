/**
 * The listening sockets. The master opens one SO_REUSEPORT socket for each address and worker slot
 * and keeps it open for its whole life: the kernel spreads new connections over them, and a
 * worker that dies leaves its queue to its successor. A Unix socket, and one that the service
 * manager opened, is one for all slots.
 */
import { lstatSync, unlinkSync } from "node:fs";
import { UsageError } from "../../base/errors.ts";
import type { Log } from "../../base/log_entry.ts";
import { formatEndpoint } from "../../options/address.ts";
import { setOption } from "../../os/socket_options.ts";
import { listenerOptions } from "../../os/socket_options.ts";
import type { ListenerSettings } from "../../os/socket_options.ts";
import type { Runtime } from "../../runtime/runtime.ts";
import type { Libc } from "../../os/libc.ts";
import type { Endpoint } from "../../os/endpoint.ts";
import type { HeldAddress } from "./held_address.ts";
import { errorText } from "../../os/error_text.ts";
import { refuseNew, refuseNewUnix } from "../../os/listen_queue.ts";
import { assertFree, isBeingLeft, listenAt, openBound, openUnix } from "./sockets.ts";

/** Workers whose master was killed accept what waits before they close; in milliseconds. */
const LEAVE_LIMIT_MS = 2000;
const LEAVE_PAUSE_MS = 20;

/** An address that a configuration asks for. */
export interface Wanted {
  readonly endpoint: Endpoint;
  /** An IPv6 wildcard also takes IPv4. */
  readonly dualStack: boolean;
  /** Opened by the service manager already. */
  readonly activated?: number;
}

/**
 * What was opened for a configuration. Either {@link use} and then {@link keep} commit to it, or
 * {@link drop} undoes it; none of them throws.
 */
export interface Claim {
  /** For each address the descriptor of slot 1, 2 …; none where workers bind by themselves. */
  readonly fds: readonly (readonly number[])[];
  /**
   * The configuration is in use: its settings hold for all its sockets, and addresses that it does
   * not ask for refuse new connections. Returns the descriptors in which some may still wait.
   */
  use(): number[];
  /** Closes the addresses that the configuration does not ask for. */
  keep(): void;
  /** Closes what was opened. Sockets that were open before are as they were. */
  drop(): void;
}

interface Address extends HeldAddress {
  readonly fds: number[];
  /** Another master has it too: the file of a Unix socket is its. */
  isShared: boolean;
  /** New connections are refused, and its file is gone. */
  isWithdrawn: boolean;
}

export class Listeners {
  private readonly libc: Libc;
  private readonly log: Log;
  private readonly adopt: boolean;
  private readonly addresses = new Map<string, Address>();
  /** What the configuration in use asks for. */
  private wanted: ReadonlySet<string> = new Set();
  private settings: ListenerSettings | undefined;
  /** A master whose place this one takes holds its addresses as well. */
  private isSharing: boolean;

  /** `inherited` are those of a predecessor, which are kept until {@link takeOver}. */
  constructor(
    { libc, capabilities }: Pick<Runtime, "libc" | "capabilities">,
    log: Log,
    inherited: readonly HeldAddress[] = [],
  ) {
    this.libc = libc;
    this.log = log;
    this.adopt = capabilities.adoptSockets;
    this.isSharing = inherited.length > 0;
    for (const address of inherited) {
      const key = formatEndpoint(address.endpoint);
      const fds = [...address.fds];
      this.addresses.set(key, { ...address, fds, isShared: true, isWithdrawn: false });
    }
  }

  /**
   * Of each address that has several sockets, their descriptors in the order of their slots. What a
   * predecessor has too is left to it until {@link takeOver}.
   */
  get groups(): readonly (readonly number[])[] {
    if (this.isSharing) return [];
    return [...this.addresses.values()].flatMap(({ endpoint, fds, isActivated }) =>
      endpoint.family === "unix" || isActivated || fds.length < 2 ? [] : [[...fds]]
    );
  }

  /** A predecessor has them too, until {@link takeOver}. */
  get sharesSockets(): boolean {
    return this.isSharing;
  }

  /** For a successor. */
  get held(): readonly HeldAddress[] {
    return [...this.addresses.values()].map(({ endpoint, fds, isActivated }) => ({
      endpoint,
      fds: [...fds],
      isActivated,
    }));
  }

  /** The predecessor leaves: what it had and the configuration does not ask for is closed. */
  takeOver(): void {
    this.isSharing = false;
    for (const address of this.addresses.values()) address.isShared = false;
    this.applySettings();
    this.closeAllBut(this.wanted);
  }

  /**
   * Gives all sockets the settings of the configuration in use: workers of another one, which was
   * given up, may have changed them.
   */
  applySettings(): void {
    const { libc, settings } = this;
    // They are still the predecessor's.
    if (!settings || this.isSharing) return;
    for (const key of this.wanted) {
      const address = this.addresses.get(key);
      for (const fd of new Set(address?.fds)) {
        setOptions(libc, fd, address!.endpoint, settings);
        libc.listen(fd, settings.backlog);
      }
    }
  }

  /** A successor has all of them: they are closed here, and nothing is removed. */
  leave(): void {
    for (const address of this.addresses.values()) address.isShared = true;
    this.close();
  }

  /**
   * Fulfilled when no address that is missing is held by workers of a master that was killed, which
   * give it up at once, or after two seconds.
   */
  async left(wanted: readonly Wanted[]): Promise<void> {
    const isLeaving = ({ endpoint, dualStack, activated }: Wanted) =>
      endpoint.family !== "unix" && activated === undefined &&
      !this.addresses.has(formatEndpoint(endpoint)) && isBeingLeft(this.libc, endpoint, dualStack);
    const deadline = performance.now() + LEAVE_LIMIT_MS;
    while (wanted.some(isLeaving) && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, LEAVE_PAUSE_MS));
    }
  }

  /**
   * Opens what is missing for these addresses and slots. Throws a UsageError with all that cannot
   * be had, and has then changed nothing.
   */
  claim(wanted: readonly Wanted[], slots: number, settings: ListenerSettings): Claim {
    const opened: (() => void)[] = [];
    const undo = () => opened.splice(0).forEach((close) => close());
    const problems: string[] = [];
    for (const each of wanted) {
      try {
        this.open(each, slots, settings, opened);
      } catch (error) {
        if (!(error instanceof UsageError)) {
          undo();
          throw error;
        }
        problems.push(error.message);
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
        if (!this.isSharing) this.closeAllBut(keys);
      },
      drop: () => {
        undo();
        this.applySettings();
      },
    };
  }

  /**
   * All refuse new connections, but those of the service manager, which outlive us. Returns the
   * descriptors in which some may still wait.
   */
  withdraw(): number[] {
    return this.withdrawAllBut(new Set());
  }

  /** Closes all and removes the files of Unix sockets. */
  close(): void {
    this.closeAllBut(new Set());
  }

  private open(
    { endpoint, dualStack, activated }: Wanted,
    slots: number,
    settings: ListenerSettings,
    opened: (() => void)[],
  ): void {
    const key = formatEndpoint(endpoint);
    const known = this.addresses.get(key);
    if (!known && endpoint.family !== "unix" && activated === undefined) {
      assertFree(this.libc, endpoint, dualStack);
    }
    const isActivated = activated !== undefined;
    const address = known ??
      { endpoint, fds: [], isActivated, isShared: false, isWithdrawn: false };
    if (!known) {
      this.addresses.set(key, address);
      opened.push(() => this.release(key));
    }
    if (!this.adopt) return;
    // Those of slots that are no longer there stay: other workers serve their queues.
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
      // More sockets of an address that is served begin to listen with their workers: if those
      // cannot start, nobody will have come to a socket that closes again.
      if (!known) {
        listenAt(this.libc, fd, endpoint, settings.backlog);
        continue;
      }
      opened.push(() => {
        address.fds.splice(address.fds.indexOf(fd), 1);
        this.libc.close(fd);
      });
    }
  }

  private bind(endpoint: Endpoint, dualStack: boolean): number {
    if (endpoint.family === "unix") return openUnix(this.libc, endpoint);
    return openBound(this.libc, endpoint, { shared: true, dualStack });
  }

  private withdrawAllBut(keys: ReadonlySet<string>): number[] {
    return [...this.addresses].flatMap(([key, address]) => {
      if (keys.has(key) || address.isActivated || address.isShared) return [];
      this.withdrawAddress(address);
      return address.fds;
    });
  }

  private withdrawAddress(address: Address): void {
    const { endpoint, fds, isWithdrawn } = address;
    if (isWithdrawn) return;
    address.isWithdrawn = true;
    if (endpoint.family !== "unix") fds.forEach((fd) => refuseNew(this.libc, fd));
    // Without its file clients do not find the socket; otherwise the socket itself refuses them.
    else if (fds.length > 0 && !this.removeFile(endpoint.path)) refuseNewUnix(this.libc, fds[0]!);
  }

  /** True when it has removed the socket's file; otherwise clients may still find the socket. */
  private removeFile(path: string): boolean {
    if (path.startsWith("@")) return false;
    try {
      if (!lstatSync(path, { throwIfNoEntry: false })?.isSocket()) return false;
      unlinkSync(path);
      return true;
    } catch (error) {
      const cause = errorText(error);
      const message = `--frontend: cannot remove the socket ${path}, which is closed: ${cause}; ` +
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
    // The service manager goes on listening, and another configuration may ask for it again.
    if (address.isActivated) return;
    // The file goes first, so that nobody finds a socket that is about to close.
    if (!address.isShared) this.withdrawAddress(address);
    for (const fd of new Set(address.fds)) this.libc.close(fd);
  }
}

/** Also for a socket that listens already, whose settings may have changed. */
function setOptions(libc: Libc, fd: number, endpoint: Endpoint, settings: ListenerSettings): void {
  if (endpoint.family === "unix") return;
  for (const option of listenerOptions(settings)) setOption(libc, fd, option);
}
