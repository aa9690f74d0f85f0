import { POLLIN } from "../../os/constants.ts";
import type { Libc } from "../../os/libc.ts";
import { pollEntry } from "../../os/structures.ts";

/** Checks in a row in which clients wait and none is accepted. */
const MAX_CHECKS = 2;

/**
 * Notices that the runtime accepts no clients any more: Deno never does again once it had no free
 * descriptor for one, and reports nothing.
 */
export class AcceptWatch {
  private readonly libc: Pick<Libc, "poll">;
  private readonly sockets: readonly number[];
  private readonly accepted: () => number;
  private before = -1;
  private checks = 0;

  /** `accepted` returns how many clients of the listening sockets were accepted so far. */
  constructor(libc: Pick<Libc, "poll">, sockets: readonly number[], accepted: () => number) {
    this.libc = libc;
    this.sockets = sockets;
    this.accepted = accepted;
  }

  /** Call it every few seconds. True if clients have waited during several calls. */
  isStuck(): boolean {
    const accepted = this.accepted();
    const waits = accepted === this.before && this.hasClients();
    this.before = accepted;
    this.checks = waits ? this.checks + 1 : 0;
    return this.checks >= MAX_CHECKS;
  }

  private hasClients(): boolean {
    const entries = new Uint8Array(Buffer.concat(this.sockets.map((fd) => pollEntry(fd, POLLIN))));
    return this.libc.poll(entries, this.sockets.length, 0) > 0;
  }
}
