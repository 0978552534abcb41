import type * as node from './node.ts';
import { lacking } from '../../util/unsupported.ts';

export const readAt: typeof node.readAt = () => lacking('files');
export const READS_ASIDE: typeof node.READS_ASIDE = false;
export const readAside: typeof node.readAside = () => lacking('files');
export const writeAt: typeof node.writeAt = () => lacking('files');
export const openFile: typeof node.openFile = async () => lacking('files');
export const DESCRIPTORS_CROSS_THREADS: typeof node.DESCRIPTORS_CROSS_THREADS = false;
