import type { ClientMessage, Matte } from "@/api/client";

import { type Size, same } from "./size";

const FIRST_SIZE = 1_000_000_000; // so that no refusal of a style is taken for one of a size
const FIRST_MATTE = 2_000_000_000;
const AGAIN = 1000; // ms; figures of before the engine was lost may still say that it runs

/** Sends a message of the control channel; false where there is no call. */
type Send = (message: ClientMessage) => boolean;

/** Say whether a message of this number, null where none was read of it, was one of the style. */
export const ofStyle = (seq: number | null): boolean => seq === null || seq < FIRST_SIZE;

/** The size of the picture that is wanted of this call and of every later one; null: the server's own. */
export class SizeWish {
  private wanted: Size | null = null;
  private seq = FIRST_SIZE;
  private refusedAt: number | null = null; // as performance.now() counts; null: nothing waits for the engine
  private askedAgain = false;

  /** Say whether this is news, where the server has the size `own` by itself. */
  choose(size: Size, own: Size): boolean {
    if (same(size, this.wanted ?? own)) return false;
    this.wanted = size;
    this.askedAgain = false;
    return true;
  }

  /** Ask for it where another one is in force; say whether it is on its way, null where none was wanted. */
  ask(inForce: Size | null, send: Send): boolean | null {
    this.refusedAt = null;
    if (!this.wanted || same(this.wanted, inForce)) return null;
    return send({ type: "size", seq: ++this.seq, ...this.wanted });
  }

  /** Say whether a message answers the newest wish. */
  isNewest(seq: number | null): boolean {
    return seq === this.seq;
  }

  /** There is no engine to make it ready; say whether it stays wanted. Once only: it may be what ends the engine. */
  keep(): boolean {
    if (this.askedAgain) return false;
    this.askedAgain = true;
    this.refusedAt = performance.now();
    return true;
  }

  /** Say whether it is to be asked for again, now that the engine runs. */
  get isDue(): boolean {
    return this.refusedAt !== null && performance.now() - this.refusedAt >= AGAIN;
  }

  /** It is not to be had: what is in force stays what is wanted. */
  drop(inForce: Size | null): void {
    this.wanted = inForce;
  }
}

/** Whether the server looks for a matte beside the picture. */
export class MatteWish {
  private seq = FIRST_MATTE;
  private told: (() => void) | null = null;

  /** Resolves once the server does as told; at once where there is no call to tell it. */
  tell(matte: Matte, send: Send): Promise<void> {
    this.giveUp();
    if (!send({ type: "matte", seq: ++this.seq, matte })) return Promise.resolve();
    return new Promise((resolve) => {
      this.told = resolve;
    });
  }

  answered(seq: number): void {
    if (seq === this.seq) this.told?.();
  }

  /** Let nobody wait any longer: the call has ended. */
  giveUp(): void {
    this.told?.();
  }
}
