/** Numeric ids, and the new root directory ("" keeps the root). */
export interface Privileges extends Ids {
  readonly chroot: string;
}

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}
