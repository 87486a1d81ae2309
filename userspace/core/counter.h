/*
 * Numbers that one thread counts and others read while it does (__atomic_load_n, relaxed): a plain
 * addition and one whole store, no lock, no bus cycle. Only the owning thread may add.
 */
#ifndef SLUICE_CORE_COUNTER_H
#define SLUICE_CORE_COUNTER_H

#define counter_add(counter, n)                                                                    \
	do {                                                                                       \
		__typeof__(counter) counter_ = (counter);                                          \
		__atomic_store_n(counter_, *counter_ + (n), __ATOMIC_RELAXED);                     \
	} while (0)

#define counter_inc(counter) counter_add(counter, 1)
#define counter_dec(counter) counter_add(counter, -1u)

#endif
