/**
 * A command to a worker whose answer the master waits for. It is sent again when the answer seems
 * lost, so the worker has to handle a repeated command as it does the first one.
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
   * To be called before each ping, none of which is sent before the last one was answered. At the
   * second one the worker has answered a ping that came after the command.
   */
  beforePing(): void {
    this.pings++;
    if (this.pings > 1) this.send();
  }
}
