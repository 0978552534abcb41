import { receivePart } from './hostile/receive.ts';
import { recordPart } from './hostile/record.ts';
import { sendPart } from './hostile/send.ts';
import type { Part } from './part.ts';

/** All parts, in the order of the table. */
export const PARTS: readonly Part[] = [receivePart, recordPart, sendPart];
