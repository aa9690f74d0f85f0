/** Numeric ids, and a directory that becomes the root ("" leaves the root). */
export interface Privileges extends Ids {
  readonly chroot: string;
}

export interface Ids {
  readonly uid: number;
  readonly gid: number;
}
