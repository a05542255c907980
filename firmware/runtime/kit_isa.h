/* Which instruction set the kernels are written for: exactly one of these is defined.
 *     KIT_ISA_HELIUM    Armv8.1-M with integer MVE: Cortex-M55, M85
 *     KIT_ISA_DSP       Armv7E-M and Armv8-M with the DSP extension: Cortex-M4, M7, M33
 *     KIT_ISA_THUMB1    Armv6-M and Armv8-M baseline: Cortex-M0, M0+, M23
 *     KIT_ISA_HOST      x86-64 and AArch64, vectorised by the compiler
 *     KIT_ISA_PORTABLE  anything else: Cortex-M3, RISC-V
 * All of them give the same bytes. KIT_NO_SIMD selects the portable one on any machine. */
#ifndef KIT_ISA_H
#define KIT_ISA_H

#if defined(KIT_NO_SIMD)
#define KIT_ISA_PORTABLE 1
#elif defined(__ARM_FEATURE_MVE) && !defined(__ARM_BIG_ENDIAN)
#define KIT_ISA_HELIUM 1
#elif defined(__ARM_FEATURE_DSP) && !defined(__ARM_BIG_ENDIAN) && defined(__GNUC__) && !defined(__aarch64__)
#define KIT_ISA_DSP 1
#elif defined(__thumb__) && !defined(__thumb2__)
#define KIT_ISA_THUMB1 1
#elif defined(__GNUC__) && (defined(__x86_64__) || defined(__aarch64__))
#define KIT_ISA_HOST 1
#else
#define KIT_ISA_PORTABLE 1
#endif

#endif /* KIT_ISA_H */
