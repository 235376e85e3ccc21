/* What happens before main: vectors, floating point, memory. */
#include <stdint.h>

extern uint32_t data_source[], data_start[], data_end[], bss_start[], bss_end[], stack_top[];
int main(void);
void reset(void);

static void halt(void)
{
    for (;;) {
    }
}

void reset(void)
{
    volatile uint32_t *const access = (volatile uint32_t *)0xe000ed88u; /* CPACR */
    const uint32_t *source = data_source;
    uint32_t *word;

    *access |= 0xfu << 20; /* the floating-point unit, for networks in float32 */
    __asm__ volatile("dsb\n\tisb");
    for (word = data_start; word < data_end; ++word) {
        *word = *source++;
    }
    for (word = bss_start; word < bss_end; ++word) {
        *word = 0;
    }
    main();
    halt();
}

/* The top of the stack, reset, and 14 exceptions of the core. */
__attribute__((section(".vectors"), used)) static const struct {
    uint32_t *stack;
    void (*handlers[15])(void);
} vectors = {
    stack_top,
    {reset, halt, halt, halt, halt, halt, 0, 0, 0, 0, halt, halt, 0, halt, halt},
};
