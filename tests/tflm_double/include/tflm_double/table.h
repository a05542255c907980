/* tflm-double: reading tables of a FlatBuffer, which begins with the offset of its root. Fields have the numbers of their
 * declaration in the schema. Nothing is verified: the harness knows its bytes. */
#ifndef TFLM_DOUBLE_TABLE_H
#define TFLM_DOUBLE_TABLE_H

#include <stdint.h>
#include <string.h>

namespace tflm_double {

template <typename T>
T load(const uint8_t *at)
{
    T value;
    memcpy(&value, at, sizeof value);
    return value;
}

/* A vector; `at` is where its length stands. */
class Vector {
public:
    explicit Vector(const uint8_t *at) : at_(at) {}
    const uint8_t *at() const { return at_; }
    uint32_t size() const { return at_ == nullptr ? 0 : load<uint32_t>(at_); }
    const uint8_t *data() const { return at_ + 4; }
    template <typename T>
    T value(uint32_t index) const
    {
        return load<T>(data() + index * sizeof(T));
    }
    /* Element that is an offset to a table. */
    const uint8_t *table(uint32_t index) const
    {
        const uint8_t *slot = data() + index * 4;
        return slot + load<uint32_t>(slot);
    }

private:
    const uint8_t *at_;
};

class Table {
public:
    explicit Table(const uint8_t *at) : at_(at) {}
    bool has(unsigned field) const { return offset(field) != 0; }
    template <typename T>
    T scalar(unsigned field, T otherwise) const
    {
        return has(field) ? load<T>(at_ + offset(field)) : otherwise;
    }
    Vector vector(unsigned field) const { return Vector(has(field) ? reference(field) : nullptr); }
    Table table(unsigned field) const { return Table(reference(field)); }

private:
    uint16_t offset(unsigned field) const
    {
        const uint8_t *vtable = at_ - load<int32_t>(at_);
        const unsigned slot = 4 + 2 * field;
        return slot < load<uint16_t>(vtable) ? load<uint16_t>(vtable + slot) : 0;
    }
    const uint8_t *reference(unsigned field) const
    {
        const uint8_t *slot = at_ + offset(field);
        return slot + load<uint32_t>(slot);
    }
    const uint8_t *at_;
};

inline Table root(const uint8_t *buffer)
{
    return Table(buffer + load<uint32_t>(buffer));
}

}  // namespace tflm_double

#endif /* TFLM_DOUBLE_TABLE_H */
