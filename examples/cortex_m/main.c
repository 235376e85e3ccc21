/* Runs the golden vectors of an exported network on a Cortex-M and says what came out.
 *
 * The text goes to the debugger by semihosting: QEMU prints it, a probe does on a board. Replace
 * say() by a UART where there is none. No C library is needed.
 */
#include <stdint.h>

#define NETWORK_GOLDEN
#include "network.h"

#define WRITE0 0x04u
#define EXIT 0x18u
#define EXIT_WELL 0x20026u
#define EXIT_BADLY 0x20023u

static uint32_t semihosting(uint32_t operation, uint32_t argument)
{
    register uint32_t r0 __asm__("r0") = operation;
    register uint32_t r1 __asm__("r1") = argument;

    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return r0;
}

static void say(const char *text)
{
    semihosting(WRITE0, (uint32_t)(uintptr_t)text);
}

static void say_number(int32_t value)
{
    char digits[12];
    char *at = digits + sizeof digits - 1;

    *at = 0;
    do {
        *--at = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    say(at);
}

int main(void)
{
    const int32_t images = (int32_t)(sizeof network_golden_spikes / sizeof network_golden_spikes[0]);
    const int32_t failed = network_selftest();
    int32_t image;

    for (image = 0; image < images; ++image) {
        say("image ");
        say_number(image);
        say(": label ");
        say_number(network_predict(network_golden_inputs + image * NETWORK_INPUTS, NETWORK_INPUTS));
        say("\n");
    }
    say_number(failed);
    say(" of ");
    say_number(images);
    say(" golden vectors differ\n");
    semihosting(EXIT, failed == 0 ? EXIT_WELL : EXIT_BADLY);
    return 0;
}
