/**
 * A command to a worker whose answer the master waits for. It is sent again if the answer seems
 * lost, so a repeated command must have the same effect as the first one.
 */
export class AwaitedAnswer {
  private readonly send: () => void;
  private pings = 0;

  /** Sends the command. */
  constructor(send: () => void) {
    this.send = send;
    send();
  }

  /**
   * Called before each ping, which is sent only after the last one was answered. At the second call
   * the worker has answered a ping that followed the command.
   */
  beforePing(): void {
    this.pings++;
    if (this.pings > 1) this.send();
  }
}
